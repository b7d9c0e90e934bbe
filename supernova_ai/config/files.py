"""Read the files of one configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from supernova_ai.config.nodes import Node, parse, read_bytes, read_yaml
from supernova_ai.errors import ConfigError

_LOCATION = re.compile(r"^(?:environment|database)[ \t]*:.*$", re.MULTILINE)


class Files:
    """Reads files, and keeps their ``contents`` in the order in which they were read.

    Args:
        replaced: files with another content than they have, to try it; None is no file.
        lenient: of a file that is not YAML, read the lines that say which database it is about.
    """

    def __init__(self, replaced: Mapping[Path, bytes | None] | None = None, *, lenient: bool = False) -> None:
        self.contents: dict[Path, bytes] = {}
        self._replaced = replaced or {}
        self._lenient = lenient

    def read(self, path: Path) -> tuple[Node, list[str]]:
        """Return a YAML file as nodes with their lines, and the problems of single lines.

        Raises:
            ConfigError: the file cannot be read, is not UTF-8, not YAML, or not a mapping.
        """
        replaced = self._replaced.get(path)
        content = self.contents[path] = read_bytes(path) if replaced is None else replaced
        try:
            return read_yaml(path, content)
        except ConfigError:
            if not self._lenient:
                raise
            return parse("\n".join(_LOCATION.findall(content.decode(errors="replace"))), path)

    def overlays(self, folder: Path) -> dict[str, Path]:
        """Return the overlays in the folder by the names of their environments."""
        return {path.stem: path for path in self._in(folder, ".yaml")}

    def read_templates(self, folder: Path) -> None:
        """Keep the content of the templates in the folder; one that cannot be read is left out."""
        for path in sorted(self._in(folder, ".md")):
            with suppress(ConfigError):
                self.contents[path] = self._replaced.get(path) or read_bytes(path)

    def _in(self, folder: Path, suffix: str) -> set[Path]:
        there = {*folder.glob(f"*{suffix}"), *(path for path in self._replaced if path.parent == folder)}
        return {path for path in there if path.suffix == suffix and self._replaced.get(path, b"") is not None}
