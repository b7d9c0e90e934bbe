"""The ``supernova`` command."""

from supernova_ai.cli.app import main

__all__ = ["main"]
