"""The table of scheduled jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from supernova_ai.terminal.stacked_table import StackedTable, cell, seconds

if TYPE_CHECKING:
    from supernova_ai.operations.jobs.overview import JobState

_COLOURS = {"done": "green", "failed": "red", "cut short": "yellow"}


def jobs(rows: tuple[JobState, ...]) -> StackedTable:
    """Show each job: when it runs, how its last run ended, and when the next is due. Reasons are too long."""
    table = StackedTable("Jobs", ("Job\nSchedule", "Last run\nTook", "State\nOutcome", "Next run"))
    for row in rows:
        outcome = f"{row.failures} in a row" if row.failures else row.outcome
        table.add(
            cell(row.name, row.schedule or "off"),
            cell(_time(row.last), seconds(row.duration_ms)),
            cell(row.state, outcome, style=_COLOURS.get(row.state, "")),
            "due" if row.next and row.next <= datetime.now(UTC) else _time(row.next),
        )
    return table


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
