"""How the ledger, the budgets and the keys look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich import box
from rich.table import Table

from supernova_ai.keys import KeyInfo
from supernova_ai.ledger.reports import Standing, Total
from supernova_ai.money import show
from supernova_ai.store.tables import Attempt

_COLOURS = {"settled": "green", "released": "yellow", "lost": "red", "held": "cyan"}


def attempts(rows: Iterable[Attempt], *, title: str = "Attempts, latest last") -> Table:
    """Show attempts: who was asked, how it ended, what it took and cost."""
    table = _table(title, ("When", "Provider, model", "Tier, key", "Outcome"), ("Tokens", "Time", "Cost"))
    for row in rows:
        table.add_row(
            _local(row.started_ms),
            f"{row.provider}\n[dim]{row.model}[/]",
            f"{row.tier}\n[dim]{row.slot or 'no key'}[/]",
            f"[{_COLOURS[row.state]}]{row.state}[/]\n[dim]{row.error or ''}[/]",
            f"{row.prompt}+{row.completion}" if row.prompt or row.completion else "-",
            "-" if row.latency_ms is None else f"{row.latency_ms / 1000:.2f} s",
            _cost(row),
        )
    return table


def totals(rows: Iterable[Total]) -> Table:
    """Show what each provider and model took and cost."""
    table = _table(
        "By provider and model",
        ("Provider, model",),
        ("Attempts", "Settled", "Released", "Lost", "Open", "Tokens", "Cost"),
    )
    for row in rows:
        table.add_row(
            f"{row.provider}\n[dim]{row.model}[/]",
            *map(str, (row.attempts, row.settled, row.released, row.lost, row.open)),
            f"{row.prompt_tokens}+{row.completion_tokens}",
            show(row.cost) + (f"\n[dim]+ {show(row.held)} held[/]" if row.held else ""),
        )
    return table


def budgets(rows: Iterable[Standing]) -> Table:
    """Show how every budget stands in its current window."""
    table = _table("Budgets", ("Budget, user", "Window"), ("Spent", "Held", "Lost", "Left", "Limit"))
    for row in rows:
        table.add_row(
            f"{row.budget}\n[dim]{row.subject}[/]" if row.subject else row.budget,
            row.period,
            *map(show, (row.settled, row.held, row.lost, row.left, row.limit)),
        )
    return table


def keys(rows: Iterable[KeyInfo]) -> Table:
    """Show the keys of the vault by their fingerprints."""
    table = _table("Keys", ("Provider", "Slot", "Version", "State", "Fingerprint", "Since"), ())
    for row in rows:
        since = f"{row.created.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(row.provider, row.slot, str(row.version), row.state, row.fingerprint, since)
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cost(row: Attempt) -> str:
    if row.state == "held":
        return f"[dim]up to[/] {show(row.held)}"
    if row.state == "released":
        return "-"
    return show(row.cost) + ("" if row.basis == "exact" else f"\n[dim]{row.basis}[/]")


def _local(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%m-%d %H:%M}"
