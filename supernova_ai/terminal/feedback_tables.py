"""Tables of feedback: what users think of answers, and the means by group beside the costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from supernova_ai.money import show
from supernova_ai.ratings import KeptFeedback
from supernova_ai.reports.rated import RatedLine
from supernova_ai.terminal.stacked_table import StackedTable, cell


def report(title: str, rows: Sequence[RatedLine]) -> StackedTable:
    """Show what groups cost, and the means of their quality scores and feedback."""
    right = ("Attempts\nAnswered", "Cost", "Quality\nChecked", "Score\nFeedback")
    table = StackedTable(title, ("",), right)
    for row in rows:
        table.add(
            row.name or "-",
            cell(f"{row.attempts:,}", f"{row.answered:,}"),
            show(row.cost),
            cell("-" if row.quality is None else f"{row.quality:.2f}", f"{row.checked:,}"),
            cell("-" if row.score is None else f"{row.score:+.2f}", f"{row.feedbacks:,}"),
        )
    return table


def latest(rows: Sequence[KeptFeedback]) -> StackedTable:
    """Show the feedback on requests."""
    table = StackedTable("Feedback, latest first", ("When", "Request\nUser\nModel", "Comment"), ("Score",))
    for row in rows:
        table.add(
            f"{datetime.fromtimestamp(row.at_ms / 1000).astimezone():%Y-%m-%d %H:%M}",
            cell(row.request, row.user, f"{row.provider}/{row.model}"),
            row.comment or "",
            f"{row.score:+.2f}",
        )
    return table
