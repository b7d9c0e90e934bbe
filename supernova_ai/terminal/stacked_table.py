"""A table whose columns have several parts: side by side on a wide terminal, stacked on a narrow one.

On a terminal that is too narrow for its columns, each row is a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Cell = tuple[Text, ...]
"""The parts of one cell."""

_NEVER_FOLDED = len("AuthenticationFailed")
"""Text up to this length stays on one line."""

_LEAST_NAME = 12
"""The least width at which longer text is folded."""

_GAP = 2
"""The columns of the terminal between two columns of a table."""

_UNLIMITED = 10_000
"""A terminal width, in columns, that no table reaches."""


class StackedTable:
    """A table that stacks the parts of its columns if the terminal is too narrow for them side by side.

    Args:
        left: headings of text columns; a heading such as ``"Provider\\nModel"`` has two parts.
        right: headings of number columns.
    """

    def __init__(self, title: str, left: Sequence[str], right: Sequence[str] = ()) -> None:
        self._title = title
        self._columns = [(heading, False) for heading in left] + [(heading, True) for heading in right]
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, *cells: str | Text | Cell) -> None:
        """Add a row: one cell for each heading."""
        self._rows.append(tuple(each if isinstance(each, tuple) else cell(each) for each in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(stacked=False)
        width = Measurement.get(console, options.update(max_width=_UNLIMITED), wide).maximum
        if width <= options.max_width:
            yield wide
        elif self._least_width <= options.max_width:
            yield self._table(stacked=True)
        else:
            yield Text(f"\n{self._title}", "bold")
            yield from self._lists()

    @property
    def _least_width(self) -> int:
        """How wide the stacked table is if its long names are folded."""
        widths = [max(map(len, heading.split("\n"))) for heading, _ in self._columns]
        for row in self._rows:
            for number, (each, (_, is_number)) in enumerate(zip(row, self._columns, strict=True)):
                for part in each:
                    folds = not is_number and len(part) > _NEVER_FOLDED
                    widths[number] = max(widths[number], _LEAST_NAME if folds else len(part))
        return sum(widths) + _GAP * (len(widths) - 1)

    def _lists(self) -> Iterator[Table]:
        for row in self._rows:
            parts = Table.grid(padding=(0, 1, 0, 0))
            parts.add_column(no_wrap=True, style="dim")
            parts.add_column(overflow="fold")
            for (heading, _), each in zip(self._columns, row, strict=True):
                for name, part in zip(heading.split("\n"), each, strict=False):
                    if part:
                        parts.add_row(name, part)
            parts.add_row()
            yield parts

    def _table(self, *, stacked: bool) -> Table:
        table = Table(
            title=f"\n{self._title}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for number, (heading, is_number) in enumerate(self._columns):
            longest = max((len(part) for row in self._rows for part in row[number]), default=0)
            # Names may be folded; an amount on two lines would be read as another amount.
            folds = not is_number and longest > _NEVER_FOLDED
            for part in [heading] if stacked else heading.split("\n"):
                table.add_column(
                    part,
                    justify="right" if is_number else "left",
                    no_wrap=not folds,
                    overflow="fold" if folds else "ellipsis",
                )
        for row in self._rows:
            texts: list[Text] = []
            for (heading, _), each in zip(self._columns, row, strict=True):
                texts += _texts(each, columns=1 if stacked else heading.count("\n") + 1)
            table.add_row(*texts)
        return table


def cell(*parts: str | Text | None, style: str = "") -> Cell:
    """Return a cell: its first part in the style, the others dim. A part that is None or "" is empty."""
    # A Text, never markup: user ids and model names may contain square brackets.
    styles = (style, *["dim"] * (len(parts) - 1))
    return tuple(
        part if isinstance(part, Text) else Text(part or "", look)
        for part, look in zip(parts, styles, strict=True)
    )


def _texts(parts: Cell, *, columns: int) -> list[Text]:
    """Return the parts of a cell for that many columns: one part in each, or all in a single one."""
    if columns == 1:
        return [Text("\n").join(part for part in parts if part)]
    return [*parts, *[Text()] * (columns - len(parts))]


def seconds(milliseconds: int | None) -> str:
    """Return a duration in seconds, "-" for None."""
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"
