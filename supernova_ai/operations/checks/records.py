"""Checks of the database: the file, the ledger, the chains of audit and advice, backups and jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from peewee import Database, fn

from supernova_ai.advisor import records as advice_records
from supernova_ai.characters import counted
from supernova_ai.operations.checks.machine import data_folder
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding
from supernova_ai.operations.jobs.overview import Overview, overview
from supernova_ai.store.engines import damaged_rows
from supernova_ai.store.tables import AttemptRow, AuditRow, StuckEndRow
from supernova_ai.upkeep.verify import verify_ledger

_DAY_S = 86_400
_TOO_OLD_DAYS = {"daily": 2, "weekly": 9}


def database(subject: Subject) -> Iterator[Finding]:
    """Let SQLite check its file; opening the store has compared and migrated the schema."""
    store = subject.store
    if store.file is None:
        yield Finding("database", "ok", "PostgreSQL, schema up to date")
        return
    rows = store.read(lambda database: damaged_rows(database, "PRAGMA quick_check(5)"))
    faults = [str(line) for (line,) in rows if line != "ok"]
    for fault in faults:
        yield Finding(
            "database", "error", f"the file is damaged: {fault}", "restore a backup: docs/recovery.md"
        )
    if not faults:
        size = store.file.stat().st_size / 2**20
        yield Finding("database", "ok", f"SQLite file of {size:.1f} MiB, intact, schema up to date")


def ledger(subject: Subject) -> Iterator[Finding]:
    """Recompute all sums, and count what a person should look at."""
    report = verify_ledger(subject.store, subject.config.all_budgets, folder=data_folder() / "archive")
    for problem in report.problems[:5]:
        text = f"{problem.kind}: {problem.what}: expected {problem.expected}, found {problem.found}"
        yield Finding("ledger", "error", text, "supernova ledger verify")
    if report.ok:
        attempts = counted(report.checked.get("attempts", 0), "attempt")
        yield Finding("ledger", "ok", f"all sums agree with {attempts}")
    yield from subject.store.read(lambda database: list(stuck_ends(database)))
    uncertain = subject.store.read(lambda database: _count(database, AttemptRow, AttemptRow.state == "lost"))
    if uncertain:
        text = f"the cost of {counted(uncertain, 'attempt')} is unknown; the most they can cost is counted"
        yield Finding("ledger", "note", text, "supernova ledger reconcile, or supernova ledger settle")


def stuck_ends(database: Database) -> Iterator[Finding]:
    """Count the ends of calls that the database refused."""
    if stuck := _count(database, StuckEndRow):
        text = f"of {counted(stuck, 'call')} the end could not be written; what was held stays counted"
        yield Finding("ledger", "warning", text, "supernova ledger lost")


def audit(subject: Subject) -> Iterator[Finding]:
    """Verify the chain of operations."""
    report = subject.vault.verify_audit()
    if report.ok:
        yield Finding("audit", "ok", f"{counted(report.rows, 'operation')}, the chain is intact")
    else:
        yield Finding("audit", "error", f"the chain is broken: {report.reason}", "supernova audit verify")


def advice(subject: Subject) -> Iterator[Finding]:
    """Verify the chain of recorded advice."""
    report = subject.store.read(advice_records.verify)
    if report.ok:
        yield Finding("advice", "ok", f"{counted(report.rows, 'record')}, none altered")
    else:
        yield Finding(
            "advice", "error", f"the records were altered: {report.problem}", "supernova advice verify"
        )


def backups(subject: Subject) -> Iterator[Finding]:
    """Say how old the last backup is."""
    created = (AuditRow.event == "backup.created") & (AuditRow.outcome == "done")
    latest = subject.store.read(
        lambda database: AuditRow.select(fn.MAX(AuditRow.at_ms)).where(created).scalar(database)
    )
    most = _TOO_OLD_DAYS.get(subject.config.backup.schedule)
    if latest is None:
        attempts = subject.store.read(lambda database: _count(database, AttemptRow))
        remedy = "supernova backup create, or set 'backup'"
        yield Finding("backups", "warning" if attempts else "note", "no backup was made yet", remedy)
        return
    days = (subject.store.now() - latest / 1000) / _DAY_S
    text = f"the last backup was made on {datetime.fromtimestamp(latest / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    if most is not None and days > most:
        yield Finding(
            "backups",
            "error",
            f"{text}, and backups are to be {subject.config.backup.schedule}",
            "supernova jobs",
        )
    elif days > max(_TOO_OLD_DAYS.values()):
        yield Finding("backups", "warning", text, "supernova backup create")
    else:
        yield Finding("backups", "ok", text)


def jobs(subject: Subject) -> Iterator[Finding]:
    """Look for jobs that fail, and for a process that runs them."""
    found = subject.store.read(lambda database: overview(database, subject.config))
    yield from job_findings(found, now=subject.store.now())


def job_findings(found: Overview, *, now: float) -> Iterator[Finding]:
    """Say which jobs failed, and whether somebody runs them; ``now`` is in Unix seconds."""
    for job in found.jobs:
        if job.state == "failed":
            yield Finding(
                "jobs", "warning", f"job {job.name} failed: {job.outcome}", f"supernova maintain {job.name}"
            )
    last = [job.last.timestamp() for job in found.jobs if job.last]
    if found.leader:
        yield Finding("jobs", "ok", f"{found.leader} runs the jobs; {counted(len(last), 'job')} ran so far")
    elif not last:
        yield Finding("jobs", "note", "no job has run yet", "supernova run, or supernova maintain by cron")
    elif now - max(last) > 2 * _DAY_S:
        yield Finding("jobs", "warning", "no job has run for two days", "supernova run")
    else:
        yield Finding(
            "jobs", "ok", f"{counted(len(last), 'job')} ran so far; `supernova run` is not running now"
        )


def _count(database: Database, table: type[AttemptRow | StuckEndRow], *where: object) -> int:
    query = table.select(fn.COUNT(1))
    return int((query.where(*where) if where else query).scalar(database))
