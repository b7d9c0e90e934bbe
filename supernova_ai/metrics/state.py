"""The state of now: open holds, budgets, circuits, keys, alerts, jobs, and ends that are not written yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from peewee import Database, fn

from supernova_ai import health
from supernova_ai.alerts.outbox import NoticeKind
from supernova_ai.config import Config
from supernova_ai.health import BreakerState
from supernova_ai.keys import records
from supernova_ai.metrics import catalog
from supernova_ai.metrics.catalog import Sample
from supernova_ai.money import to_usd
from supernova_ai.operations.jobs import runner
from supernova_ai.operations.jobs.leader import current_holder
from supernova_ai.operations.jobs.planned import PLANNED
from supernova_ai.operations.key_checks import is_used
from supernova_ai.operations.provider_states import configured_deployments
from supernova_ai.reports.status import budget_statuses
from supernova_ai.store.tables import AlertRow, AttemptRow, StuckEndRow


def holds(database: Database, config: Config) -> Iterator[Sample]:
    """Yield how many attempts are running, and what they hold."""
    by = (AttemptRow.provider, AttemptRow.model, AttemptRow.tier)
    query = AttemptRow.select(*by, fn.COUNT(AttemptRow.id), fn.SUM(AttemptRow.held))
    found = dict.fromkeys(((d.provider, d.model, d.tier) for d in configured_deployments(config)), (0, 0))
    for *labels, count, held in (
        query.where(AttemptRow.state == "held").group_by(*by).tuples().execute(database)
    ):
        found[labels[0], labels[1], labels[2]] = count, int(held)
    for key, (count, held) in found.items():
        yield Sample(catalog.HOLDS, key, count)
        yield Sample(catalog.HELD, key, float(to_usd(held)))


def budgets(database: Database, config: Config, now_ms: int) -> Iterator[Sample]:
    """Yield the limit of each budget and what counts against it, never whose it is."""
    per = {budget.name: budget.per for budget in config.all_budgets}
    for status in budget_statuses(database, config.all_budgets, now=now_ms / 1000, most=1):
        labels = (status.budget, per[status.budget])
        yield Sample(catalog.BUDGET_LIMIT, labels, float(to_usd(status.limit)))
        for state in ("settled", "held", "lost"):
            yield Sample(catalog.BUDGET_USED, (*labels, state), float(to_usd(getattr(status, state))))


def circuits(database: Database, config: Config, now_ms: int) -> Iterator[Sample]:
    """Yield the state of the circuit of each deployment that is configured."""
    known = {circuit.identity: circuit for circuit in health.states(database)}
    for deployment in configured_deployments(config):
        circuit = known.get(deployment)
        now = circuit.at(now_ms) if circuit else "closed"
        labels = (deployment.provider, deployment.model, deployment.tier, deployment.slot or "")
        for state in get_args(BreakerState):
            yield Sample(catalog.CIRCUIT, (*labels, state), int(state == now))


def keys(database: Database, config: Config) -> Iterator[Sample]:
    """Yield since when each key is active, and when it expires; of slots that the configuration uses."""
    for key in records.all_versions(database):
        if key.state == "active" and is_used(config, key):
            labels = (key.provider, key.slot)
            yield Sample(catalog.KEY_ACTIVE, labels, (key.activated or key.created).timestamp())
            if key.expires:
                yield Sample(catalog.KEY_EXPIRES, labels, key.expires.timestamp())


def alerts(database: Database) -> Iterator[Sample]:
    """Yield how many alerts of each kind are open."""
    query = AlertRow.select(AlertRow.kind, fn.COUNT(AlertRow.id)).where(AlertRow.state != "acknowledged")
    found = dict(query.group_by(AlertRow.kind).tuples().execute(database))
    for kind in ("budget", *get_args(NoticeKind)):
        yield Sample(catalog.ALERTS, (kind,), found.get(kind, 0))


def jobs(database: Database, config: Config, now_ms: int) -> Iterator[Sample]:
    """Yield whether a process runs the jobs, and how each job last ran."""
    yield Sample(catalog.LEADER, (), int(current_holder(database) is not None))
    rows = runner.rows(database)
    for job in PLANNED:
        schedule = None if job.name in config.jobs.skip else job.when(config)
        if schedule is not None:
            interval_ms = schedule.next(now_ms) - schedule.latest(now_ms)
            yield Sample(catalog.JOB_INTERVAL, (job.name,), interval_ms / 1000)
        if row := rows.get(job.name):
            yield Sample(catalog.JOB_FAILURES, (job.name,), row.failures)
            if row.done_ms is not None:
                yield Sample(catalog.JOB_SUCCESS, (job.name,), row.done_ms / 1000)


def set_aside_ends(database: Database) -> Iterator[Sample]:
    """Yield how many ends the database refused."""
    yield Sample(catalog.SET_ASIDE_ENDS, (), StuckEndRow.select(fn.COUNT(1)).scalar(database))
