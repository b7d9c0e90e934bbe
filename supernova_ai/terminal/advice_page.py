"""Advice on one page, as it was just given or as it was recorded; and the list of recorded advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from supernova_ai.advisor.bars import format_time
from supernova_ai.advisor.view import AdviceView, SignalLine
from supernova_ai.money import show
from supernova_ai.store.tables import AdviceRow

ACTION_COLOURS = {"buy": "green", "hold": "cyan", "avoid": "yellow", "reduce": "yellow", "sell": "red"}
_ARROWS = {1: Text("↑ up", "green"), 0: Text("– flat", "dim"), -1: Text("↓ down", "red")}
_BAR_LENGTH = 20
_MAX_REPAIRS = 5


def page(view: AdviceView) -> RenderableType:
    """Show advice: the action, the signals, the rationale, the risks and the cost."""
    return Group(action_part(view), words_part(view))


def action_part(view: AdviceView) -> RenderableType:
    """Show what the bars say: the action and the signals."""
    return Group(
        _headline(view),
        Text(f"score {view.score:+.2f} in a {view.regime} market", "dim"),
        "",
        _signals(view.signals),
    )


def words_part(view: AdviceView) -> RenderableType:
    """Show the rest of the page: the rationale, the risks and the cost."""
    return Group(
        "",
        Markdown(view.text, hyperlinks=False),
        "",
        Text("Risks", "bold"),
        *bullets(view.notes),
        *_repairs(view.repairs),
        "",
        *(Text(disclaimer, "dim italic") for disclaimer in view.disclaimers),
        "",
        Text(_footer(view), "dim"),
    )


def records_table(records: Sequence[AdviceRow]) -> Table:
    """Show records of advice, one per line."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Record", "Given", "Symbol", "Action", "Conf.", "As of", "Rationale"):
        # The id is for copying: on a narrow terminal the other columns are folded.
        whole = title in ("Record", "Action", "Conf.")
        justify: Literal["left", "right"] = "right" if title == "Conf." else "left"
        table.add_column(title, justify=justify, no_wrap=whole, overflow="fold")
    for record in records:
        view = AdviceView.from_record(record)
        given = datetime.fromtimestamp(record.created_ms / 1000).astimezone()
        table.add_row(
            record.id[:8],
            f"{given:%Y-%m-%d}",
            view.symbol,
            Text(view.action, ACTION_COLOURS[view.action]),
            f"{view.confidence:.2f}",
            format_time(view.as_of),
            view.source,
        )
    return table


def _headline(view: AdviceView) -> Text:
    colour = ACTION_COLOURS[view.action]
    full = round(view.confidence * _BAR_LENGTH)
    return Text.assemble(
        (f" {view.action.upper()} ", f"bold reverse {colour}"),
        (f" {view.symbol} ", "bold"),
        (f" as of {format_time(view.as_of)}   ", ""),
        ("confidence ", "dim"),
        ("█" * full + "░" * (_BAR_LENGTH - full), colour),
        f" {view.confidence:.2f}",
    )


def _signals(signals: Sequence[SignalLine]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Signal", no_wrap=True)
    table.add_column("Points", no_wrap=True)
    table.add_column("Strength", justify="right", no_wrap=True)
    table.add_column("Because")
    for signal in signals:
        table.add_row(
            signal.name.replace("_", " "),
            _ARROWS[signal.direction],
            f"{signal.strength:.2f}" if signal.direction else "",
            signal.reason,
        )
    return table


def bullets(notes: Sequence[str]) -> Iterator[Table]:
    """Yield each note as a line or more after a bullet."""
    for note in notes:
        line = Table.grid(padding=(0, 1))
        line.add_row("•", Text(note))
        yield line


def _repairs(repairs: Sequence[str]) -> Iterator[RenderableType]:
    if repairs:
        more = len(repairs) - _MAX_REPAIRS
        yield ""
        yield Text("Mended bars", "bold")
        yield from bullets(repairs[:_MAX_REPAIRS])
        if more > 0:
            yield from bullets([f"and {more:,} more: --json shows all"])


def _footer(view: AdviceView) -> str:
    by_source = {
        "model": f"rationale by {view.model}",
        "corrected": f"rationale by {view.model}, after one correction",
        "repaired": f"rationale by {view.model}, after one correction",  # records of the first design
    }
    rationale = by_source.get(view.source, f"rationale without a model ({view.why})")
    requests = f"{view.requests} request{'' if view.requests == 1 else 's'}"
    record = f"record {view.record[:8]}" if view.record else "no record"
    return f"{rationale} · {requests}, {show(view.cost)} · {record}"
