"""The status on one screen: providers, requests, money, alerts and jobs, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from supernova_ai.characters import counted
from supernova_ai.money import rounded
from supernova_ai.operations.findings import Severity
from supernova_ai.operations.status import Status
from supernova_ai.reports.periods import Per
from supernova_ai.reports.status import BudgetStatus
from supernova_ai.terminal.cost_tables import gauge, sparkline
from supernova_ai.terminal.health_tables import STATE_COLOURS, ago
from supernova_ai.terminal.stacked_table import StackedTable, cell, seconds

_SEVERITY_COLOURS: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}

_PERS: dict[Per, str] = {"day": "today", "week": "this week", "month": "this month"}


class StatusPage:
    """The status. What does not fit the height of a terminal is left out, and counted."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._now_ms = int(status.at.timestamp() * 1000)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        deployments = sum(len(provider.deployments) for provider in self._status.providers)
        budgets = len(self._status.budgets)
        page = self._page(deployments, budgets)
        while console.is_terminal and max(deployments, budgets) > 1:
            over = len(console.render_lines(page, options)) - console.height + 1
            if over <= 0:
                break
            fewer = max(1, over // 4)  # not all of them, for some take several lines
            if deployments >= budgets:
                deployments = max(1, deployments - fewer)
            else:
                budgets = max(1, budgets - fewer)
            page = self._page(deployments, budgets)
        yield page

    def _page(self, deployments: int, budgets: int) -> RenderableType:
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(overflow="fold", max_width=12)
        lines.add_column(overflow="fold")
        for name, text in self._lines(budgets):
            lines.add_row(Text(name, "bold"), text)
        return Group(self._providers(deployments), "", lines, *self._findings())

    def _providers(self, most: int) -> RenderableType:
        """Show each provider with its deployments; of all deployments, the worst ones."""
        status = self._status
        worst = sorted(
            (found for provider in status.providers for found in provider.deployments),
            key=lambda found: (
                found[1] == "healthy",
                1.0 if found[0].success_rate is None else found[0].success_rate,
            ),
        )
        shown = {row.deployment for row, _ in worst[:most]}
        table = StackedTable(
            f"{status.environment}, {status.at:%Y-%m-%d %H:%M:%S %Z}; providers over the last hour",
            ("Provider", "State", "Last failure\nWhen"),
            ("Success", "Answer", "p95"),
        )
        for provider in status.providers:
            table.add(provider.name, _state(provider.state), "", "", "", "")
            models = [row.model for row, _ in provider.deployments]
            for row, state in provider.deployments:
                if row.deployment not in shown:
                    continue
                # One model may have deployments in several tiers or with several keys.
                several = models.count(row.model) > 1
                more = f", {row.tier}, {row.slot or 'no key'}" if several else ""
                rate = row.success_rate
                table.add(
                    f"  {row.model}{more}",
                    _state(state),
                    cell(row.last_error, ago(row.last_failure_ms, self._now_ms)) if row.failed else "-",
                    "-" if rate is None else f"{rate:.1%}",
                    seconds(row.latency.p50),
                    seconds(row.latency.p95),
                )
        left_out = len(worst) - len(shown)
        return Group(table, *_left_out(left_out, "in a better state", "supernova health --all"))

    def _lines(self, budgets: int) -> Iterator[tuple[str, RenderableType]]:
        status = self._status
        requests, failed = (
            sum(getattr(one, name) for one in status.minutes) for name in ("requests", "failed")
        )
        chart = sparkline([one.requests for one in status.minutes], width=12)
        before = status.minutes[-2].requests
        yield (
            "Requests",
            Text(
                f"{chart} {requests:,} in the last hour, {before:,} in the last whole minute; "
                f"{counted(failed, 'attempt')} failed"
            ),
        )
        spent = ", ".join(f"{rounded(status.spent[per])} {name}" for per, name in _PERS.items())
        yield "Spent", Text(spent + (f", {rounded(status.lost)} of it lost" if status.lost else ""))
        # The fullest first to be kept, in the order of the configuration.
        fullest = sorted(status.budgets, key=lambda row: -row.used / row.limit)[:budgets]
        for row in status.budgets:
            if row in fullest:
                yield " ".join(filter(None, (row.budget, row.subject))), _budget(row)
        for text in _left_out(len(status.budgets) - len(fullest), "less used", "supernova costs"):
            yield "", text
        yield "Held", Text(self._held())
        yield "Alerts", Text(self._alerts())
        yield "Jobs", Text(self._jobs())

    def _held(self) -> str:
        held = self._status.held
        if not held.largest:
            return "nothing: no attempt is running"
        (largest,) = held.largest
        total = f"{rounded(held.amount)} by {held.count:,} attempts, most: " if held.count > 1 else ""
        who = f" for {largest.user}" if largest.user else ""
        return (
            f"{total}{rounded(largest.amount)}{who} at {largest.provider}/{largest.model}, "
            f"{ago(largest.started_ms, self._now_ms)}{'' if largest.alive else '; its process ended'}"
        )

    def _alerts(self) -> str:
        alerts = self._status.alerts
        if not alerts:
            return "none open"
        return f"{len(alerts):,} open, latest: {alerts[-1].message().title} → supernova alerts list"

    def _jobs(self) -> str:
        jobs, upcoming, now = self._status.jobs, self._status.next_job, self._status.at
        leads = f"{jobs.leader} leads" if jobs.leader else "no process leads"
        if upcoming is None or upcoming.next is None:
            return leads
        due = "due" if upcoming.next.replace(microsecond=0) <= now else _clock(upcoming.next, now)
        return f"{leads}; next: {upcoming.name}, {due}"

    def _findings(self) -> Iterator[Text]:
        for finding in self._status.findings:
            yield Text.assemble(
                (f"{finding.severity}: ", _SEVERITY_COLOURS[finding.severity]),
                finding.text,
                (f" → {finding.remedy}", "bold"),
            )


def _budget(row: BudgetStatus) -> Text:
    parts = [f"{rounded(row.settled)} of {rounded(row.limit)}"]
    parts += [
        f"{rounded(amount)} {name}" for name, amount in (("held", row.held), ("lost", row.lost)) if amount
    ]
    return Text.assemble(gauge(row), f"  {', '.join(parts)}", (f", {row.period}", "dim"))


def _state(state: str) -> Text:
    return Text(state, STATE_COLOURS.get(state, "dim"))


def _left_out(count: int, which: str, command: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"and {count} {which}: {command}", "dim")


def _clock(at: datetime, now: datetime) -> str:
    local = at.astimezone(now.tzinfo)
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%m-%d %H:%M}"
