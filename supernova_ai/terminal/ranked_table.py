"""Advice on several symbols as a ranked table, with the notes on the portfolio."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from supernova_ai.advisor.advise_many import RankedAdvice
from supernova_ai.advisor.bars import format_time
from supernova_ai.characters import counted
from supernova_ai.money import show
from supernova_ai.terminal.advice_page import ACTION_COLOURS, bullets
from supernova_ai.terminal.stacked_table import StackedTable, cell


def ranked_page(ranked: RankedAdvice) -> RenderableType:
    """Show the table, the errors below it, the notes and the cost."""
    weighted = any(row.weight is not None for row in ranked.rows)
    table = StackedTable(
        "Advice, highest confidence first",
        ("Symbol", "Action", "As of", "Rationale"),
        ("Confidence", "Score", "20 bars", *(["Weight"] if weighted else [])),
    )
    for row in ranked.rows:
        weight = [] if not weighted else ["-" if row.weight is None else f"{row.weight:.0%}"]
        if row.advice is None:
            table.add(row.symbol, cell("error", style="red"), "-", "-", "-", "-", "-", *weight)
            continue
        action, confidence, details, *_ = row.advice
        change = details.indicators.change_20
        table.add(
            row.symbol,
            cell(action, style=ACTION_COLOURS[action]),
            format_time(details.as_of),
            details.source,
            f"{confidence:.2f}",
            f"{details.score:+.2f}",
            "-" if change is None else f"{change:+.1%}",
            *weight,
        )
    errors = [f"{row.symbol}: {row.error}" for row in ranked.rows if row.error]
    records = sum(row.advice is not None and row.advice.details.record_id is not None for row in ranked.rows)
    return Group(
        table,
        "",
        *bullets((*errors, *ranked.notes)),
        Text(
            f"{counted(len(ranked.rows), 'symbol')} · {counted(records, 'record')} · {show(ranked.cost)}",
            "dim",
        ),
    )
