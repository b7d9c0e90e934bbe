from tests.cli.conftest import configure, folder, script, supernova

__all__ = ["configure", "folder", "script", "supernova"]
