"""Status: what an operator sees first, all of it from one state of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from peewee import Database

from supernova_ai.alerts.outbox import AlertEvent, list_alerts
from supernova_ai.config import Config
from supernova_ai.keys import records
from supernova_ai.operations import key_checks
from supernova_ai.operations.checks.records import job_findings, stuck_ends
from supernova_ai.operations.findings import Finding
from supernova_ai.operations.jobs.overview import JobState, Overview, overview
from supernova_ai.operations.provider_states import ProviderState, provider_states
from supernova_ai.reports import spending, traffic
from supernova_ai.reports.periods import Per, latest_periods
from supernova_ai.reports.status import BudgetStatus, budget_statuses
from supernova_ai.reports.traffic import Held, Minute

_PERS: tuple[Per, ...] = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of everything at one time. Money is nano-USD.

    ``minutes`` are the last sixty, the present one included; ``spent`` is that of the present day, week and
    month, and ``lost`` is the month's part of it that is lost; ``findings`` is what needs a person.
    """

    at: datetime
    environment: str
    providers: list[ProviderState]
    minutes: list[Minute]
    spent: Mapping[Per, int]
    lost: int
    budgets: list[BudgetStatus]
    held: Held
    alerts: list[AlertEvent]
    jobs: Overview
    findings: list[Finding]

    @property
    def next_job(self) -> JobState | None:
        """The job that is due first; None if all are switched off."""
        due = [(job.next, job.name, job) for job in self.jobs.jobs if job.next]
        return min(due)[2] if due else None


def read_status(
    database: Database, config: Config, environ: Mapping[str, str], *, now: datetime, subjects: int
) -> Status:
    """Read the status.

    Args:
        environ: where keys may be too.
        now: in the time zone of the days, weeks and months.
        subjects: of a budget of each user, team or value of a tag, so many, the most used first.

    Raises:
        ConfigError: ``jobs.skip`` names a job that does not exist.
    """
    now_ms = int(now.timestamp() * 1000)
    keys = records.all_versions(database)
    filled = key_checks.filled_slots(config, keys, environ, now_ms)
    providers = provider_states(database, config, filled, now_ms=now_ms)
    periods = {per: latest_periods(per, 1, now)[0] for per in _PERS}
    jobs = overview(database, config)
    findings = [
        *_unavailable(providers),
        *key_checks.findings(config, keys, filled, now_ms),
        *stuck_ends(database),
        *job_findings(jobs, now=now.timestamp()),
    ]
    return Status(
        at=now,
        environment=config.environment,
        providers=providers,
        minutes=traffic.minutes(database, now_ms=now_ms),
        spent={per: spending.costs(database, [period])[0] for per, period in periods.items()},
        lost=spending.lost(database, periods["month"])[1],
        budgets=list(budget_statuses(database, config.all_budgets, now=now.timestamp(), most=subjects)),
        held=traffic.held(database, now_ms=now_ms, most=1),
        alerts=[AlertEvent.of(row, config.all_budgets) for row in list_alerts(database)],
        jobs=jobs,
        findings=[finding for finding in findings if finding.severity != "ok"],
    )


def _unavailable(providers: Sequence[ProviderState]) -> Iterator[Finding]:
    """Say if every provider that has a key is in cooldown."""
    states = {provider.state for provider in providers if provider.state != "no key"}
    if states == {"cooling down"}:
        yield Finding("providers", "error", "all providers are in cooldown", "supernova health check")
