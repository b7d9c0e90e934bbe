"""Tables of health: deployments, probes, kinds of failures, and uptime."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from rich.text import Text

from supernova_ai.health import DeploymentHealth, Note, PatternSummary, Per, Uptime
from supernova_ai.terminal.stacked_table import StackedTable, cell, seconds
from supernova_ai.types import Probe

STATE_COLOURS = {
    "healthy": "green",
    "partly healthy": "yellow",
    "testing": "yellow",
    "no key": "yellow",
    "cooling down": "red",
}


def deployments(
    title: str,
    rows: Iterable[DeploymentHealth],
    *,
    without_key: Collection[tuple[str, str | None]] = (),
    now_ms: int,
) -> StackedTable:
    """Show each deployment's state, last failure, share of successes and latency.

    Args:
        without_key: providers and key slots without a key. A deployment that cannot be asked is not healthy.
        now_ms: milliseconds since 1970.
    """
    table = StackedTable(
        title,
        ("Provider\nModel", "Key\nTier", "Last failure\nWhen", "State\nFor"),
        ("Success\nAttempts", "Answer\np95"),
    )
    for row in rows:
        state = row.shown_state(has_key=(row.provider, row.slot) not in without_key)
        model = row.model if row.address is None else f"{row.model}\n{row.address}"
        rate = row.success_rate
        table.add(
            cell(row.provider, model),
            cell(row.slot or "-", row.tier),
            cell(row.last_error or "-", ago(row.last_failure_ms, now_ms)),
            cell(state, _time_in_state(row, now_ms), style=STATE_COLOURS[state]),
            cell("-" if rate is None else f"{rate:.1%}", f"{row.attempts:,}"),
            cell(seconds(row.latency.p50), seconds(row.latency.p95)),
        )
    return table


def probes(rows: Iterable[Probe]) -> StackedTable:
    """Show the result of probing each key."""
    table = StackedTable("Probes", ("Provider", "Key", "Result\nReason"), ("Took",))
    for row in rows:
        result = cell(row.result, row.reason, style="green" if row.result == "ok" else "red")
        table.add(row.provider, row.key_slot or "-", result, f"{row.latency_s:.2f} s")
    return table


def patterns(rows: Iterable[PatternSummary], *, now_ms: int) -> StackedTable:
    """Show kinds of failures: the deployment, the message, how often and when."""
    left, right = ("Failure\nModel\nStatus, fingerprint", "Message"), ("Count\nPer hour", "First\nLast seen")
    table = StackedTable("Failures by their patterns", left, right)
    for row in rows:
        status = "no answer" if row.status is None else str(row.status)
        table.add(
            cell(row.error, f"{row.provider}/{row.model}", f"{status}, {row.fingerprint}"),
            row.message or "-",
            cell(f"{row.count:,}", f"{row.per_hour:.2g}" if row.per_hour < 10 else f"{row.per_hour:,.0f}"),
            cell(ago(row.first_ms, now_ms), ago(row.last_ms, now_ms)),
        )
    return table


def note(error: str, found: Note) -> Text:
    """Show what an error class means, and what to do."""
    return Text.assemble("\n", (error, "bold"), f": {found.meaning}\n", (found.remedy, "dim"))


def uptimes(rows: Iterable[Uptime], *, per: Per) -> StackedTable:
    """Show the share of attempts that each provider did not fail."""
    table = StackedTable("Uptime", ("Provider", f"{per.title()}, UTC"), ("Attempts", "Failed", "Uptime"))
    for row in rows:
        start = datetime.fromtimestamp(row.start_ms / 1000, UTC)
        period = f"{start:%Y-%m-%d}" if per == "day" else f"{start:%Y-%m-%d %H:%M}"
        table.add(row.provider, period, f"{row.attempts:,}", f"{row.failed:,}", f"{row.share:.2%}")
    return table


def _time_in_state(row: DeploymentHealth, now_ms: int) -> str | None:
    if row.until_ms is not None and row.until_ms > now_ms:
        return f"{_duration(row.until_ms - now_ms)} more"
    return None if row.since_ms is None else _duration(now_ms - row.since_ms)


def ago(moment_ms: int | None, now_ms: int) -> str:
    """Say how long ago a time was, "" for None."""
    return "" if moment_ms is None else f"{_duration(now_ms - moment_ms)} ago"


def _duration(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
