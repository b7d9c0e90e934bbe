"""How the ledger, the budgets, the keys and the providers' health look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from supernova_ai.health import Health, Pattern, Per, Percentiles, Uptime
from supernova_ai.ledger.breakdown import Line
from supernova_ai.ledger.forecast import Forecast
from supernova_ai.ledger.reports import Standing
from supernova_ai.money import show, to_usd
from supernova_ai.store.tables import Attempt
from supernova_ai.types import Probe

if TYPE_CHECKING:  # it imports what encrypts them, which reports need not wait for
    from supernova_ai.keys import KeyInfo

_COLOURS = {"settled": "green", "released": "yellow", "lost": "red", "held": "cyan"}
_STATES = {"closed": "green", "open": "red", "half-open": "yellow"}


def attempts(rows: Iterable[Attempt], *, title: str = "Attempts, latest last") -> Table:
    """Show attempts: who was asked, how it ended, what it took and cost."""
    table = _table(
        title, ("When", "Provider\nmodel", "Tier\nkey", "Outcome\nerror"), ("Tokens\ntime", "Cost")
    )
    for row in rows:
        tokens = f"{row.prompt}+{row.completion}" if row.prompt or row.completion else "-"
        table.add_row(
            _when(row.started_ms),
            _cell(row.provider, row.model),
            _cell(row.tier, row.slot or "no key"),
            _cell(row.state, row.error, _COLOURS[row.state]),
            _cell(tokens, None if row.latency_ms is None else f"{row.latency_ms / 1000:.2f} s"),
            _cost(row),
        )
    return table


def budgets(rows: Iterable[Standing]) -> Table:
    """Show how every budget stands in its current window."""
    table = _table("Budgets", ("Budget, user", "Window"), ("Spent", "Held", "Lost", "Left", "Limit"))
    for row in rows:
        amounts = (row.settled, row.held, row.lost, row.left, row.limit)
        table.add_row(
            _cell(row.budget, row.subject), Text(row.period), *(Text(show(amount)) for amount in amounts)
        )
    return table


def lines(title: str, rows: Sequence[tuple[str, str, Line]]) -> Table:
    """Show what groups took and cost: with each line goes its name, and what is written below that."""
    right = ["Attempts\nanswered", "Released\nlost", "Tokens in\nout", "Cost\neach"]
    timed = any(line.answer_p50_ms is not None for _, _, line in rows)
    table = _table(title, ("",), (*right, *(("Answer\np50/p95", "First\np50/p95") if timed else ())))
    for name, below, line in rows:
        rate, each = line.success_rate, line.cost_per_attempt
        times = (
            _cell(_took(line.answer_p50_ms), _took(line.answer_p95_ms)),
            _cell(_took(line.first_p50_ms), _took(line.first_p95_ms)),
        )
        table.add_row(
            _cell(name if len(name) <= 20 else name.replace("/", "/\n", 1), below),
            _cell(f"{line.attempts:,}", None if rate is None else f"{rate:.1%}"),
            _cell(f"{line.released:,}", f"{line.lost:,}"),
            _cell(f"{line.prompt_tokens:,}", f"{line.completion_tokens:,}"),
            _cell(_about(line.cost), None if each is None else _about(each)),
            *(times if timed else ()),
        )
    return table


def forecasts(rows: Iterable[Forecast]) -> Table:
    """Show how the month and the budgets' windows are expected to end."""
    table = _table(
        "At the end", ("Budget, user", "Window"), ("Spent", "Expected", "80 % within", "Limit\npassed")
    )
    for row in rows:
        limit = "-" if row.limit is None else show(row.limit)
        name = _cell(row.budget or "everything", row.subject)
        if row.expected is None or row.low is None or row.high is None:
            cells = (Text(_about(row.spent)), Text("-"), Text("-"), Text(limit))
        else:
            likely = None if row.over is None else f"{row.over:.0%}"
            between = _cell(_about(row.low), f"to {_about(row.high)}")
            cells = (Text(_about(row.spent)), Text(_about(row.expected)), between, _cell(limit, likely))
        table.add_row(name, Text(row.period), *cells)
    return table


def keys(rows: Iterable[KeyInfo]) -> Table:
    """Show the keys of the vault by their fingerprints."""
    table = _table("Keys", ("Provider", "Slot", "Version", "State", "Fingerprint", "Since"), ())
    for row in rows:
        since = f"{row.created.astimezone():%Y-%m-%d %H:%M}"
        cells = (row.provider, row.slot, str(row.version), row.state, row.fingerprint, since)
        table.add_row(*map(Text, cells))
    table.columns[4].no_wrap = True
    return table


def prices(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Show rates in USD per million tokens; a second row of a model is for long prompts."""
    classes = ("prompt", "cached", "cache_write", "completion", "reasoning")
    shown = ("Prompt", "Cached", "To cache", "Answer", "Thinking")
    table = _table("USD per million tokens", ("Provider, model", "Prompts"), shown)
    for row in rows:
        above = row["above"]
        length = "no known price" if above is None else f"above {above:,}" if above else "all, or up to"
        amounts = (Text(f"{row[name].normalize():f}" if name in row else "-") for name in classes)
        table.add_row(_cell(row["provider"], row["model"]), Text(length), *amounts)
    return table


def health(title: str, rows: Iterable[Health], *, now_ms: int) -> Table:
    """Show how each deployment does: its breaker, its times, and what happened last."""
    table = _table(
        title,
        ("Deployment\nmodel", "State", "Last"),
        ("Success\nattempts", "Answer\np50\np95\np99", "First\np50\np95\np99"),
    )
    for row in rows:
        rate = row.success_rate
        table.add_row(
            _cell(row.deployment.replace("/", "/\n", 1), row.model),
            _cell(row.state, _since(row, now_ms), _STATES[row.state]),
            Text("\n".join(_last(row, now_ms)) or "-"),
            _cell("-" if rate is None else f"{rate:.1%}", f"{row.attempts:,}"),
            _percentiles(row.latency),
            _percentiles(row.first_token),
        )
    return table


def probes(rows: Iterable[Probe]) -> Table:
    """Show what a probe of each key found."""
    table = _table("Probes", ("Provider", "Key", "Result"), ("Took",))
    for row in rows:
        style = "green" if row.result == "ok" else "red"
        table.add_row(row.provider, row.key_slot or "-", Text(row.result, style), f"{row.latency_s:.2f} s")
    return table


def patterns(rows: Iterable[Pattern], *, now_ms: int) -> Table:
    """Show kinds of failures: where, what was said, how often and when."""
    left, right = ("Failure\nmodel, status, fingerprint", "Message"), ("Count\nper hour", "First\nlast seen")
    table = _table("Failures by their patterns", left, right)
    for row in rows:
        status = "no answer" if row.status is None else str(row.status)
        table.add_row(
            _cell(row.error, f"{row.provider}/{row.model}\n{status}, {row.fingerprint}"),
            Text(row.message or "-"),
            _cell(f"{row.count:,}", f"{row.per_hour:.2g}" if row.per_hour < 10 else f"{row.per_hour:,.0f}"),
            _cell(_ago(row.first_ms, now_ms), _ago(row.last_ms, now_ms)),
        )
    return table


def uptimes(rows: Iterable[Uptime], *, per: Per) -> Table:
    """Show the share of attempts that each provider did not fail."""
    table = _table("Uptime", ("Provider", f"{per.title()}, UTC"), ("Attempts", "Failed", "Uptime"))
    for row in rows:
        start = datetime.fromtimestamp(row.start_ms / 1000, UTC)
        name = f"{start:%Y-%m-%d}" if per == "day" else f"{start:%Y-%m-%d %H:%M}"
        cells = (row.provider, name, f"{row.attempts:,}", f"{row.failed:,}", f"{row.share:.2%}")
        table.add_row(*map(Text, cells))
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        # Names give way on a narrow terminal: an amount over two lines would be read as another.
        table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    return table


def _cell(main: str, below: str | None, style: str = "") -> Text:
    # A Text, never markup: user ids and model names come from outside and may hold square brackets.
    return Text.assemble((main, style), *([("\n" + below, "dim")] if below else []))


def _took(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _percentiles(values: Percentiles) -> Text:
    return _cell(_took(values.p50), f"{_took(values.p95)}\n{_took(values.p99)}")


def _since(row: Health, now_ms: int) -> str | None:
    if row.until_ms is not None and row.until_ms > now_ms:
        return f"{_span(row.until_ms - now_ms)} left"
    return None if row.since_ms is None else f"for {_span(now_ms - row.since_ms)}"


def _last(row: Health, now_ms: int) -> Iterator[str]:
    if row.last_success_ms is not None:
        yield f"success {_ago(row.last_success_ms, now_ms)}"
    if row.last_failure_ms is not None:
        yield f"failure {_ago(row.last_failure_ms, now_ms)}\n{row.last_error}"
    if row.probed_ms is not None:
        ago = _ago(row.probed_ms, now_ms)
        yield f"probe ok {ago}" if row.probe == "ok" else f"probe {ago}\n{row.probe}"


def _ago(moment_ms: int, now_ms: int) -> str:
    return f"{_span(now_ms - moment_ms)} ago"


def _span(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _about(nano: int) -> str:
    """Write an amount to the cent, or if that is less than three digits, to three."""
    usd = to_usd(nano)
    return f"${usd:,.{max(2, 2 - usd.adjusted())}f}"


def _cost(row: Attempt) -> Text:
    if row.state == "held":
        return _cell(show(row.held), "at most")
    if row.state == "released":
        return Text("-")
    return _cell(show(row.cost), None if row.basis == "exact" else row.basis)


def _when(moment_ms: int) -> Text:
    moment = datetime.fromtimestamp(moment_ms / 1000).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return _cell(f"{moment:%H:%M:%S}", None if today else f"{moment:%m-%d}")
