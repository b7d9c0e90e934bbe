"""Standard output and standard error of a command: text written by others cannot control the terminal.

Many commands print what models, providers and users wrote. ``main`` therefore wraps both streams in a
``Screen``, which cleans everything that ``echo``, prompts and the log write. Tables and colours are in
``output``, which imports rich.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from supernova_ai.characters import visible


class Screen:
    """A text stream that shows control and invisible characters as signs instead of passing them on."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # the attribute in which rich looks for the stream itself
        self.buffer = None  # no bytes can be written past the cleaning

    def write(self, text: str) -> int:
        """Write the cleaned text; return the length of the text as given."""
        self.rich_proxied_file.write(visible(text, prose=True))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each text, cleaned."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed, as with ``<&-`` in a shell.

    Python has None for such a stream, and the next file that is opened would get its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - stays open
