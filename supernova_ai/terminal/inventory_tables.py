"""Tables of what is configured: keys, prices and prompt templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from supernova_ai.terminal.stacked_table import StackedTable, cell

if TYPE_CHECKING:  # neither prices nor templates need what encrypts keys
    from supernova_ai.keys import KeyInfo
    from supernova_ai.prompts import Template


def keys(rows: Iterable[KeyInfo]) -> StackedTable:
    """Show the keys of the vault by their fingerprints."""
    table = StackedTable("Keys", ("Provider\nSlot", "Version\nState", "Fingerprint", "Since"))
    for row in rows:
        table.add(
            cell(row.provider, row.slot),
            cell(str(row.version), row.state),
            row.fingerprint,
            f"{row.created.astimezone():%Y-%m-%d %H:%M}",
        )
    return table


def key_status(rows: Iterable[tuple[KeyInfo, datetime | None]]) -> StackedTable:
    """Show the state of each version, each with the time of its next reminder."""
    dates = ("Active since\nUntil", "Last used\nLast check", "Expires\nReminder")
    table = StackedTable("Keys", ("Provider\nSlot", "Version\nState", *dates))
    for row, reminder in rows:
        check = "-" if row.checked is None else f"{_minute(row.checked)} {row.check_result}"
        table.add(
            cell(row.provider, row.slot),
            cell(str(row.version), row.state),
            cell(_minute(row.activated), _minute(row.until)),
            cell(_minute(row.used), check),
            cell(_minute(row.expires), _minute(reminder)),
        )
    return table


def _minute(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M}"


def dashboard_users(rows: Iterable[Mapping[str, Any]]) -> StackedTable:
    """Show the users of the dashboard."""
    table = StackedTable("Users of the dashboard", ("User\nRole", "State\nUntil", "Added\nChanged"))
    for row in rows:
        until = _minute(row["locked_until"]) if row["locked_until"] else ""
        table.add(
            cell(row["name"], row["role"]),
            cell(row["state"], until),
            cell(_minute(row["created"]), _minute(row["changed"])),
        )
    return table


def prices(rows: Iterable[Mapping[str, Any]]) -> StackedTable:
    """Show rates in USD per million tokens: a row for each model, service tier and prompt length."""
    classes = ("prompt", "cached", "cache_write", "completion", "reasoning")
    headings = ("Prompt", "Cached", "To cache", "Answer", "Thinking")
    table = StackedTable("USD per million tokens", ("Provider\nModel", "Prompts"), headings)
    for row in rows:
        above = row["above"]
        length = "no known price" if above is None else f"above {above:,}" if above else "all, or up to"
        if row.get("service_tier", "standard") != "standard":
            length = f"{row['service_tier']}, {length}"
        rates = (f"{row[name].normalize():f}" if name in row else "-" for name in classes)
        table.add(cell(row["provider"], row["model"]), length, *rates)
    return table


def templates(rows: Iterable[Template]) -> Table:
    """Show prompt templates: name, version, task, hash and source."""
    table = Table(box=None, pad_edge=False)
    for heading in ("Name", "Version", "Task", "Hash", "Source"):
        table.add_column(heading, no_wrap=heading not in ("Task", "Source"), overflow="fold")
    for row in rows:
        task = f"{row.task}, {row.tier}" if row.tier else row.task
        table.add_row(row.name, str(row.version), task, row.hash, row.source)
    return table
