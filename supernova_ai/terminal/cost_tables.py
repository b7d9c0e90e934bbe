"""Tables and charts of money: attempts, budgets, cost reports and forecasts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.text import Text

from supernova_ai.characters import counted
from supernova_ai.money import rounded, show
from supernova_ai.reports.advice import AdviceCost
from supernova_ai.reports.breakdown import ReportLine
from supernova_ai.reports.forecast import Forecast
from supernova_ai.reports.savings import Saving
from supernova_ai.reports.status import BudgetStatus
from supernova_ai.reports.suggestions import CheaperModel, LowerMaxTokens
from supernova_ai.store.tables import AttemptRow
from supernova_ai.terminal.stacked_table import Cell, StackedTable, cell, seconds

_COLOURS = {"settled": "green", "released": "yellow", "lost": "red", "held": "cyan"}
_BARS = "▁▂▃▄▅▆▇█"


def attempts(rows: Sequence[AttemptRow]) -> StackedTable:
    """Show attempts: which provider was asked, the outcome, tokens, time and cost.

    The environment is shown if there is more than one: each usually has a database of its own.
    """
    several = len({row.environment for row in rows}) > 1
    table = StackedTable(
        "Attempts, latest last",
        ("When", "Provider\nModel", "Tier\nKey" + several * "\nEnvironment", "Outcome\nError"),
        ("Tokens\nTime", "Cost"),
    )
    for row in rows:
        tokens = f"{row.prompt}+{row.completion}" if row.prompt or row.completion else "-"
        table.add(
            _when(row.started_ms),
            cell(row.provider, row.model),
            cell(row.tier, row.slot or "no key", *([row.environment] if several else [])),
            cell(row.state, row.error, style=_COLOURS[row.state]),
            cell(tokens, None if row.latency_ms is None else seconds(row.latency_ms)),
            _cost(row),
        )
    return table


def budgets(rows: Iterable[BudgetStatus]) -> StackedTable:
    """Show how full each budget's current window is: settled, held and lost money."""
    table = StackedTable(
        "Budgets", ("Budget\nOf", "Window\nUsed"), ("Spent\nLeft", "Held", "Lost", "Limit\nResets")
    )
    for row in rows:
        table.add(
            cell(row.budget, row.subject),
            cell(row.period, gauge(row)),
            cell(rounded(row.settled), rounded(row.left)),
            rounded(row.held),
            rounded(row.lost),
            cell(rounded(row.limit), f"{row.resets_at:%m-%d}"),
        )
    return table


def report(title: str, rows: Sequence[tuple[str, str, ReportLine]]) -> StackedTable:
    """Show attempts, tokens, costs and times of groups; and what prompt caches saved, if anything.

    Args:
        rows: for each group its name, the text below the name, and its figures.
    """
    timed = any(line.answer_p50_ms is not None for _, _, line in rows)
    saved = any(line.saved for _, _, line in rows)
    times = ("Answer\np95", "First\np95") if timed else ()
    right = (
        "Attempts\nAnswered",
        "Released\nLost",
        "Tokens in\nTokens out",
        "Cost\nEach" + saved * "\nSaved",
    )
    table = StackedTable(title, ("\n",), (*right, *times))
    for name, below, line in rows:
        rate, each = line.success_rate, line.cost_per_attempt
        latencies = (
            cell(seconds(line.answer_p50_ms), seconds(line.answer_p95_ms)),
            cell(seconds(line.first_p50_ms), seconds(line.first_p95_ms)),
        )
        table.add(
            cell(name, below),
            cell(f"{line.attempts:,}", None if rate is None else f"{rate:.1%}"),
            cell(f"{line.released:,}", f"{line.lost:,}"),
            cell(f"{line.prompt_tokens:,}", f"{line.completion_tokens:,}"),
            cell(
                rounded(line.cost),
                None if each is None else rounded(each),
                *([rounded(line.saved)] if saved else []),
            ),
            *(latencies if timed else ()),
        )
    return table


def forecasts(rows: Iterable[Forecast]) -> StackedTable:
    """Show the expected cost of the month and of each budget's window at its end."""
    table = StackedTable(
        "At the end", ("Budget\nOf", "Window"), ("Spent", "Expected", "80 % within", "Limit\nPassed")
    )
    for row in rows:
        limit = "-" if row.limit is None else show(row.limit)
        if row.expected is None or row.low is None or row.high is None:
            expected, between, likely = "-", "-", None
        else:
            expected, between = rounded(row.expected), f"{rounded(row.low)} to {rounded(row.high)}"
            likely = None if row.over is None else f"{row.over:.0%}"
        name = cell(row.budget or "everything", row.subject)
        table.add(name, row.period, rounded(row.spent), expected, between, cell(limit, likely))
    return table


def savings(title: str, rows: Iterable[Saving]) -> StackedTable:
    """Show what each kind of saving took off the cost, and how that is computed."""
    table = StackedTable(title, ("By", "How"), ("Saved",))
    for row in rows:
        table.add(row.kind, row.arithmetic, cell(rounded(row.amount), "about" if row.estimated else None))
    return table


def advice(found: AdviceCost) -> StackedTable:
    """Show what the attempts cost that explained advice, by the class of the asset; and each record."""
    table = StackedTable("Advice", ("Prompt",), ("Attempts", "Cost", "Each"))
    for line in found.by_class:
        table.add(line.name, f"{line.attempts:,}", rounded(line.cost), rounded(line.cost_per_attempt or 0))
    each = "-" if found.each is None else rounded(found.each)
    table.add(counted(found.records, "record"), f"{found.attempts:,}", rounded(found.cost), each)
    return table


def suggestion(found: CheaperModel | LowerMaxTokens) -> Text:
    """Show a suggestion, what it saves, its arithmetic and what it is based on."""
    saves = f"  saves {rounded(found.saves)}" if isinstance(found, CheaperModel) else ""
    reasons = found.reasons if isinstance(found, CheaperModel) else ()
    lines = ((f"\n  {line}", "dim") for line in (found.arithmetic, *reasons))
    return Text.assemble("\n", (found.suggestion, "bold"), (saves, "green"), *lines)


def sparkline(values: Sequence[float], *, width: int = 24) -> str:
    """Draw one bar per value, on a scale from zero to the highest; a zero is a dot.

    Args:
        values: none below zero.
        width: the most bars; if there are more values, each bar is the sum of neighbours.

    >>> sparkline([0, 1, 5, 10])
    '·▁▄█'
    """
    together = -(-len(values) // width)
    bars = [sum(values[start : start + together]) for start in range(0, len(values), together or 1)]
    highest = max(bars, default=0)
    return "".join(_BARS[max(0, round(bar / highest * 8) - 1)] if bar else "·" for bar in bars)


def gauge(row: BudgetStatus) -> Text:
    """Draw the used share of a limit: ten blocks, with lost and held money apart, and a percentage."""
    share = row.used / row.limit
    # Rounded down: 100 % means that the limit is used up.
    settled, lost, held = (
        min(10, math.floor(amount / row.limit * 10))
        for amount in (row.settled, row.settled + row.lost, row.used)
    )
    blocks = "█" * settled + "▓" * (lost - settled) + "▒" * (held - lost) + "░" * (10 - held)
    colour = "green" if share < 0.8 else "yellow" if share < 0.95 else "red"
    return Text.assemble((blocks, colour), f" {math.floor(share * 100)}%")


def _cost(row: AttemptRow) -> Cell:
    if row.state == "held":
        return cell(show(row.held), "at most")
    if row.state == "released":
        return cell("-")
    return cell(show(row.cost), None if row.basis == "exact" else row.basis)


def _when(started_ms: int) -> Cell:
    moment = datetime.fromtimestamp(started_ms / 1000).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return cell(f"{moment:%H:%M:%S}", None if today else f"{moment:%m-%d}")
