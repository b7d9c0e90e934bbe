"""How the ledger, the budgets, the keys and the providers' health look in a terminal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from supernova_ai.health import DeploymentHealth, PatternSummary, Per, Uptime
from supernova_ai.money import show, to_usd
from supernova_ai.reports.breakdown import ReportLine
from supernova_ai.reports.forecast import Forecast
from supernova_ai.reports.standings import Standing
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Probe

if TYPE_CHECKING:  # it imports what encrypts them, which reports need not wait for
    from supernova_ai.keys import KeyInfo

_COLOURS = {"settled": "green", "released": "yellow", "lost": "red", "held": "cyan"}
_STATES = {
    "closed": ("healthy", "green"),
    "open": ("cooling down", "red"),
    "half-open": ("testing", "yellow"),
}
"""The states of a circuit breaker in words for people, and their colours."""

_NO_KEY = ("no key", "yellow")


_WHOLE = len("AuthenticationFailed")
"""Texts of this many letters are never folded over two lines."""

_BOUNDLESS = 10_000
"""Columns of a terminal that no table fills."""

Cell = tuple[Text, ...]
"""What stands in one place of a sheet, part by part."""


class Sheet:
    """A table whose columns have several parts: side by side where the terminal is wide enough, else stacked.

    Args:
        left: headings of texts; a heading such as ``"Provider\\nModel"`` has two parts.
        right: headings of numbers.
    """

    def __init__(self, title: str, left: Sequence[str], right: Sequence[str] = ()) -> None:
        self._title = title
        self._columns = [(name, False) for name in left] + [(name, True) for name in right]
        self._rows: list[tuple[Cell, ...]] = []

    def add(self, *cells: str | Text | Cell) -> None:
        """Add a row: a cell for each heading."""
        self._rows.append(tuple(cell if isinstance(cell, tuple) else _cell(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._table(side_by_side=True)
        needs = Measurement.get(console, options.update(max_width=_BOUNDLESS), wide).maximum
        fits = needs <= options.max_width
        yield wide if fits else self._table(side_by_side=False)

    def _table(self, *, side_by_side: bool) -> Table:
        table = Table(
            title=f"\n{self._title}",
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        split = [len(name.split("\n")) if side_by_side else 1 for name, _ in self._columns]
        for place, ((name, is_number), parts) in enumerate(zip(self._columns, split, strict=True)):
            longest = max((len(part) for row in self._rows for part in row[place]), default=0)
            for heading in name.split("\n") if parts > 1 else [name]:
                # Long names give way on a narrow terminal: an amount over two lines would be read as another.
                folds = not is_number and longest > _WHOLE
                table.add_column(
                    heading,
                    justify="right" if is_number else "left",
                    no_wrap=not folds,
                    overflow="fold" if folds else "ellipsis",
                )
        for row in self._rows:
            cells: list[Text] = []
            for cell, parts in zip(row, split, strict=True):
                if parts == 1:
                    cells.append(Text("\n").join(part for part in cell if part))
                else:
                    cells += [*cell, *[Text()] * (parts - len(cell))]
            table.add_row(*cells)
        return table


def attempts(rows: Iterable[AttemptRow], *, title: str = "Attempts, latest last") -> Sheet:
    """Show attempts: who was asked, how it ended, what it took and cost."""
    sheet = Sheet(title, ("When", "Provider\nModel", "Tier\nKey", "Outcome\nError"), ("Tokens\nTime", "Cost"))
    for row in rows:
        tokens = f"{row.prompt}+{row.completion}" if row.prompt or row.completion else "-"
        sheet.add(
            _when(row.started_ms),
            _cell(row.provider, row.model),
            _cell(row.tier, row.slot or "no key"),
            _cell(row.state, row.error, style=_COLOURS[row.state]),
            _cell(tokens, None if row.latency_ms is None else f"{row.latency_ms / 1000:.2f} s"),
            _cost(row),
        )
    return sheet


def budgets(rows: Iterable[Standing]) -> Sheet:
    """Show how much of every budget's current window is used, and by what."""
    sheet = Sheet(
        "Budgets", ("Budget\nUser", "Window\nUsed"), ("Spent\nLeft", "Held", "Lost", "Limit\nResets")
    )
    for row in rows:
        sheet.add(
            _cell(row.budget, row.subject),
            _cell(row.period, _bar(row.used / row.limit)),
            _cell(_about(row.settled), _about(row.left)),
            _about(row.held),
            _about(row.lost),
            _cell(_about(row.limit), f"{row.resets_at:%m-%d}"),
        )
    return sheet


def lines(title: str, rows: Sequence[tuple[str, str, ReportLine]]) -> Sheet:
    """Show what groups took and cost: with each line goes its name, and what is written below that."""
    timed = any(line.answer_p50_ms is not None for _, _, line in rows)
    times = ("Answer\np95", "First\np95") if timed else ()
    right = ("Attempts\nAnswered", "Released\nLost", "Tokens in\nTokens out", "Cost\nEach")
    sheet = Sheet(title, ("\n",), (*right, *times))
    for name, below, line in rows:
        rate, each = line.success_rate, line.cost_per_attempt
        took = (
            _cell(_took(line.answer_p50_ms), _took(line.answer_p95_ms)),
            _cell(_took(line.first_p50_ms), _took(line.first_p95_ms)),
        )
        sheet.add(
            _cell(name, below),
            _cell(f"{line.attempts:,}", None if rate is None else f"{rate:.1%}"),
            _cell(f"{line.released:,}", f"{line.lost:,}"),
            _cell(f"{line.prompt_tokens:,}", f"{line.completion_tokens:,}"),
            _cell(_about(line.cost), None if each is None else _about(each)),
            *(took if timed else ()),
        )
    return sheet


def forecasts(rows: Iterable[Forecast]) -> Sheet:
    """Show how the month and the budgets' windows are expected to end."""
    sheet = Sheet(
        "At the end",
        ("Budget\nUser", "Window"),
        ("Spent", "Expected", "80 % within", "Limit\nPassed"),
    )
    for row in rows:
        limit = "-" if row.limit is None else show(row.limit)
        if row.expected is None or row.low is None or row.high is None:
            expected, between, likely = "-", "-", None
        else:
            expected, between = _about(row.expected), f"{_about(row.low)} to {_about(row.high)}"
            likely = None if row.over is None else f"{row.over:.0%}"
        name = _cell(row.budget or "everything", row.subject)
        sheet.add(name, row.period, _about(row.spent), expected, between, _cell(limit, likely))
    return sheet


def keys(rows: Iterable[KeyInfo]) -> Sheet:
    """Show the keys of the vault by their fingerprints."""
    sheet = Sheet("Keys", ("Provider\nSlot", "Version\nState", "Fingerprint", "Since"))
    for row in rows:
        sheet.add(
            _cell(row.provider, row.slot),
            _cell(str(row.version), row.state),
            row.fingerprint,
            f"{row.created.astimezone():%Y-%m-%d %H:%M}",
        )
    return sheet


def prices(rows: Iterable[Mapping[str, Any]]) -> Sheet:
    """Show rates in USD per million tokens; a row of a model is for one service tier and length."""
    classes = ("prompt", "cached", "cache_write", "completion", "reasoning")
    shown = ("Prompt", "Cached", "To cache", "Answer", "Thinking")
    sheet = Sheet("USD per million tokens", ("Provider\nModel", "Prompts"), shown)
    for row in rows:
        above = row["above"]
        length = "no known price" if above is None else f"above {above:,}" if above else "all, or up to"
        if row.get("service_tier", "standard") != "standard":
            length = f"{row['service_tier']}, {length}"
        amounts = (f"{row[name].normalize():f}" if name in row else "-" for name in classes)
        sheet.add(_cell(row["provider"], row["model"]), length, *amounts)
    return sheet


def _model(row: DeploymentHealth) -> str:
    """Return the model, and where it is asked if not at the provider's usual address."""
    return row.model if row.address is None else f"{row.model}\n{row.address}"


def health(
    title: str,
    rows: Iterable[DeploymentHealth],
    *,
    empty: Collection[tuple[str, str | None]] = (),
    now_ms: int,
) -> Sheet:
    """Show how each deployment does: its state, what failed last, and how long answers take.

    Args:
        empty: providers and key slots without a key: deployments that nobody asks are not healthy.
    """
    sheet = Sheet(
        title,
        ("Provider\nModel", "Key\nTier", "Last failure\nWhen", "State\nFor"),
        ("Success\nAttempts", "Answer\np95"),
    )
    for row in rows:
        unasked = row.state == "closed" and (row.provider, row.slot) in empty
        state, colour = _NO_KEY if unasked else _STATES[row.state]
        rate = row.success_rate
        sheet.add(
            _cell(row.provider, _model(row)),
            _cell(row.slot or "-", row.tier),
            _cell(row.last_error or "-", _ago(row.last_failure_ms, now_ms)),
            _cell(state, _since(row, now_ms), style=colour),
            _cell("-" if rate is None else f"{rate:.1%}", f"{row.attempts:,}"),
            _cell(_took(row.latency.p50), _took(row.latency.p95)),
        )
    return sheet


def probes(rows: Iterable[Probe]) -> Sheet:
    """Show what a probe of each key found."""
    sheet = Sheet("Probes", ("Provider", "Key", "Result\nReason"), ("Took",))
    for row in rows:
        style = "green" if row.result == "ok" else "red"
        found = _cell(row.result, row.reason, style=style)
        sheet.add(row.provider, row.key_slot or "-", found, f"{row.latency_s:.2f} s")
    return sheet


def patterns(rows: Iterable[PatternSummary], *, now_ms: int) -> Sheet:
    """Show kinds of failures: where, what was said, how often and when."""
    left, right = ("Failure\nModel\nStatus, fingerprint", "Message"), ("Count\nPer hour", "First\nLast seen")
    sheet = Sheet("Failures by their patterns", left, right)
    for row in rows:
        status = "no answer" if row.status is None else str(row.status)
        sheet.add(
            _cell(row.error, f"{row.provider}/{row.model}", f"{status}, {row.fingerprint}"),
            row.message or "-",
            _cell(f"{row.count:,}", f"{row.per_hour:.2g}" if row.per_hour < 10 else f"{row.per_hour:,.0f}"),
            _cell(_ago(row.first_ms, now_ms), _ago(row.last_ms, now_ms)),
        )
    return sheet


def uptimes(rows: Iterable[Uptime], *, per: Per) -> Sheet:
    """Show the share of attempts that each provider did not fail."""
    sheet = Sheet("Uptime", ("Provider", f"{per.title()}, UTC"), ("Attempts", "Failed", "Uptime"))
    for row in rows:
        start = datetime.fromtimestamp(row.start_ms / 1000, UTC)
        name = f"{start:%Y-%m-%d}" if per == "day" else f"{start:%Y-%m-%d %H:%M}"
        cells = (row.provider, name, f"{row.attempts:,}", f"{row.failed:,}", f"{row.share:.2%}")
        sheet.add(*cells)
    return sheet


def _cell(*parts: str | Text | None, style: str = "") -> Cell:
    """Return a cell: its first part in the style, the others dim. A part that is None or "" is empty."""
    # A Text, never markup: user ids and model names come from outside and may hold square brackets.
    styles = (style, *["dim"] * (len(parts) - 1))
    return tuple(
        part if isinstance(part, Text) else Text(part or "", look)
        for part, look in zip(parts, styles, strict=True)
    )


def _took(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _bar(share: float) -> Text:
    """Draw a share of a limit: a bar of ten, and percent."""
    full = min(10, math.floor(share * 10))
    colour = "green" if share < 0.8 else "yellow" if share < 0.95 else "red"
    # Rounded down: 100 % is a limit that is used up.
    return Text.assemble(("█" * full + "░" * (10 - full), colour), f" {math.floor(share * 100)}%")


def _since(row: DeploymentHealth, now_ms: int) -> str | None:
    if row.until_ms is not None and row.until_ms > now_ms:
        return f"{_span(row.until_ms - now_ms)} more"
    return None if row.since_ms is None else _span(now_ms - row.since_ms)


def _ago(moment_ms: int | None, now_ms: int) -> str:
    return "" if moment_ms is None else f"{_span(now_ms - moment_ms)} ago"


def _span(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _about(nano: int) -> str:
    """Write an amount to the cent, or if that is less than three digits, to three."""
    usd = to_usd(nano)
    dollars, _, cents = f"{usd:,.{max(2, 2 - usd.adjusted())}f}".partition(".")
    return f"${dollars}.{cents.rstrip('0'):0<2}"


def _cost(row: AttemptRow) -> Cell:
    if row.state == "held":
        return _cell(show(row.held), "at most")
    if row.state == "released":
        return _cell("-")
    return _cell(show(row.cost), None if row.basis == "exact" else row.basis)


def _when(moment_ms: int) -> Cell:
    moment = datetime.fromtimestamp(moment_ms / 1000).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return _cell(f"{moment:%H:%M:%S}", None if today else f"{moment:%m-%d}")
