"""Output to a terminal with colours, tables and progress: text written by others cannot control it.

Rich writes escape sequences of its own: a ``Terminal`` bypasses the ``Screen`` and cleans text before styling
it. What few commands show (spinners, bars) is imported when it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from supernova_ai.characters import visible

if TYPE_CHECKING:
    from rich.live import Live


class Terminal(Console):
    """A console that prints text literally: no control characters, and no markup unless ``markup`` is set."""

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

    def print_labelled(self, label: str, colour: str, text: str) -> None:
        """Print a coloured label and a text after it, not wrapped."""
        self.print(Text.assemble((label, colour), text), soft_wrap=True)

    def spinner(self, text: str) -> Live:
        """Return a spinner before a text, to start and to stop; once stopped it has left no trace."""
        from rich.live import Live
        from rich.spinner import Spinner

        self.file = self.file  # the stream itself, because lines of the log appear above the spinner
        return Live(
            Spinner("dots", text), console=self, refresh_per_second=10, transient=True, redirect_stdout=False
        )

    @contextmanager
    def progress(self, text: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar after a text on a terminal, and yield what advances it by one; it leaves no trace."""
        done = count(1)
        with self.bar(text) as show:
            show(0, total)
            yield lambda: show(next(done), total)

    @contextmanager
    def bar(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar after a text on a terminal, and yield what sets how much is done, and of how much."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.file = self.file  # as for the spinner
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, console=self, transient=True, redirect_stdout=False, disable=not self.is_terminal
        ) as bar:
            task = bar.add_task(text, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def animate(self, frames: Iterable[RenderableType]) -> None:
        """Show each frame in place of the one before, until there are no more or Ctrl-C is pressed."""
        from rich.live import Live

        with (
            suppress(KeyboardInterrupt),
            Live(console=self, auto_refresh=False, redirect_stdout=False) as live,
        ):
            for frame in frames:
                live.update(frame, refresh=True)
