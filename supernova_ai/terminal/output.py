"""What stands between our output and a terminal: no text of others may steer it.

Many commands print what models, providers and users wrote. So the streams themselves are cleaned: ``main``
puts a ``Screen`` before standard output and standard error, and each ``echo``, prompt and log line passes it.
Rich writes escape sequences of its own, so its consoles bypass the ``Screen``, and a ``Terminal`` cleans each
text before it is styled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from supernova_ai.characters import visible


class Screen:
    """A text stream that shows control and hidden characters instead of passing them on."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # the name under which rich looks for the stream itself
        self.buffer = None  # nobody writes past it

    def write(self, text: str) -> int:
        """Write the text, cleaned; return how many of its characters were taken: all."""
        self.rich_proxied_file.write(visible(text, prose=True))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each text, cleaned."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


class Terminal(Console):
    """A console that takes every text literally: no control characters, and no markup unless asked for."""

    def __init__(self, *, stderr: bool = False, markup: bool = False) -> None:
        super().__init__(stderr=stderr, markup=markup, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with every text cleaned. A ``Text`` is cleaned before it is wrapped, so that it fits."""
        if isinstance(renderable, Text):
            clean = visible(renderable.plain, prose=True)
            if clean != renderable.plain:
                renderable = renderable.copy()
                renderable.plain = clean
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, prose=True))

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make a ``Text`` of a cleaned text."""
        return super().render_str(visible(text, prose=True), **settings)
