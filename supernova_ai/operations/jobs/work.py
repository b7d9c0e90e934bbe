"""What each job does, as functions of its context; most call what a command of the same purpose calls."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path

from peewee import Database

from supernova_ai import ratings
from supernova_ai.advisor import records
from supernova_ai.alerts import outbox, spikes
from supernova_ai.alerts.delivery import AlertDelivery
from supernova_ai.characters import counted
from supernova_ai.config import read_environ
from supernova_ai.errors import KeyNotFound
from supernova_ai.execution import cached_answers
from supernova_ai.ledger import Ledger
from supernova_ai.ledger.budgets import period_bounds
from supernova_ai.money import show
from supernova_ai.operations.backup import passphrase, retention, snapshot
from supernova_ai.operations.jobs.job import DAY_MS, Context, JobFailed, Outcome
from supernova_ai.operations.key_checks import check_keys, remind
from supernova_ai.operations.key_rotation import revoke_expired
from supernova_ai.reload import versions
from supernova_ai.reports import files
from supernova_ai.reports.breakdown import lines
from supernova_ai.reports.periods import Period
from supernova_ai.sessions import history
from supernova_ai.store import erased
from supernova_ai.upkeep import archive as archives
from supernova_ai.upkeep.verify import verify_ledger

_ALERTS_KEPT_DAYS = 400


_importing = threading.Lock()


def _import_litellm() -> None:
    """Import LiteLLM, which takes seconds. Two threads that import parts of it at once would both fail."""
    with _importing:
        import_module("supernova_ai.runtime")


def alerts(context: Context) -> Outcome:
    """Look for a spike and send what is due to every URL of ``alerts.notify``."""
    config = context.config
    if not config.alerts.notify:
        spikes.record_spike(context.store, config.alerts.spike, now_ms=context.now_ms)
        return "none sent: alerts.notify is empty"
    delivery = AlertDelivery(
        context.store,
        config.all_budgets,
        config.alerts,
        verify_tls=config.verify_tls,
        resolve=lambda name: context.vault.reveal(name, "primary"),
    )
    return f"{counted(delivery.deliver_due(), 'alert')} to send"


def probes(context: Context) -> Outcome:
    """Probe every provider with each of its keys, and record the results."""
    _import_litellm()
    from supernova_ai.runtime import Runtime

    runtime = Runtime(context.store, context.loaded)
    try:
        found = runtime.engine.probe(pay=context.config.health.probes == "paid")
    finally:
        runtime.close()
    asked = [probe for probe in found if probe.result != KeyNotFound.__name__]
    well = sum(probe.result == "ok" for probe in asked)
    if asked and not well:
        results = ", ".join(sorted({f"{probe.provider} {probe.result}" for probe in asked}))
        raise JobFailed(f"no provider answers ({results}); `supernova health check` says why")
    return f"{well} of {counted(len(asked), 'key')} answered"


def holds(context: Context) -> Outcome:
    """Count what processes that died still held as lost, and write the ends that were pending."""
    config = context.config
    ledger = Ledger(context.store, config.all_budgets, thresholds=config.alerts.thresholds)
    return f"{counted(ledger.sweep(), 'hold')} became lost"


def revoke(context: Context) -> Outcome:
    """Revoke and wipe the keys that were replaced and whose grace is over."""
    return f"{counted(revoke_expired(context.vault), 'replaced key')} revoked"


def keys(context: Context) -> Outcome:
    """Remind of keys that are to be rotated or expire, then check every key that is used."""
    reminded = remind(context.store, context.config, context.now_ms)
    checked = []
    if context.config.enabled:
        _import_litellm()
        checked = check_keys(context.vault, context.config)
    refused = [f"{each.key.place} {each.result}" for each in checked if each.result not in (None, "ok")]
    if refused:
        raise JobFailed(f"{', '.join(refused)}; `supernova keys check` says why")
    return f"{counted(len(checked), 'key')} checked, {counted(reminded, 'new reminder')}"


def expiry(context: Context) -> Outcome:
    """Delete what has expired: sessions, answers, tombstones, and old alerts, versions and ratings."""
    now_ms, sessions_ms = context.now_ms, context.config.sessions.keep_days * DAY_MS
    kept = context.config.retention

    def delete(database: Database) -> str:
        exchanges = history.prune(database, before_ms=now_ms - sessions_ms)
        answers = cached_answers.expire(database, now_ms=now_ms)
        old = outbox.delete(database, before_ms=now_ms - _ALERTS_KEPT_DAYS * DAY_MS)
        if kept.versions:
            old += versions.prune(database, before_ms=now_ms - kept.versions * DAY_MS)
        if kept.ratings:
            old += ratings.prune(database, before_ms=now_ms - kept.ratings * DAY_MS)
        erased.expire(database, now_ms=now_ms)
        return f"{counted(exchanges + answers + old, 'row')} deleted"

    return delete


def reports(context: Context) -> Outcome:
    """Write the reports that are due and missing; with ``reports.send`` also record a message of each."""
    settings, zone = context.config.reports, context.config.jobs.time_zone
    folder = settings.folder or context.folder("reports")
    written = files.write_due(
        context.store, folder, now=context.now_ms / 1000, time_zone=zone, pers=settings.periods
    )

    def record(database: Database) -> str:
        for path in written if settings.send else ():
            if path.suffix == ".csv":
                _record_costs(database, path, zone, now_ms=context.now_ms)
        return f"{counted(len(written), 'file')} written"

    return record


def _record_costs(database: Database, path: Path, zone: str, *, now_ms: int) -> None:
    """Record a message with the sums of a report."""
    name = path.stem.removeprefix("costs-")
    period = Period(name, *period_bounds(name, zone))
    (whole,) = lines(database, period)
    by_provider = [f"{line.name}: {show(line.cost)}" for line in lines(database, period, "provider")]
    text = [counted(whole.attempts, "attempt"), *by_provider, f"The whole report is in {path}"]
    title = f"Costs of {name}: {show(whole.cost)}"
    outbox.record_notice(database, "job", "costs", name, title=title, text="\n".join(text), now_ms=now_ms)


def backup(context: Context) -> Outcome:
    """Write a backup into ``backup.to``, and delete those that ``backup.keep`` does not keep."""
    settings = context.config.backup
    if settings.passphrase_file is None:
        raise JobFailed("no passphrase: set backup.passphrase_file to a file that only this user can read")
    folder = settings.to or context.folder("backups")
    made = snapshot.create(
        context.store,
        context.vault,
        context.loaded,
        to=folder,
        is_folder=True,
        passphrase=passphrase.read_file(settings.passphrase_file),
        master=snapshot.master_of(context.store, read_environ()),
        archives=context.folder("archive"),
    )
    pruned = retention.prune(folder, context.store.id, context.vault, settings.keep)
    return f"{made.size:,} bytes written, {counted(len(pruned), 'old file')} deleted"


def archive(context: Context) -> Outcome:
    """Move attempts older than ``retention.attempts`` into files in the data folder."""
    days = context.config.retention.attempts
    if days is None:
        return "retention.attempts is null: every attempt stays"
    made = archives.archive_attempts(
        context.vault,
        context.folder("archive"),
        before_ms=context.now_ms - days * DAY_MS,
        now_ms=context.now_ms,
    )
    return f"{sum(manifest.rows for manifest in made):,} archived"


def advice(context: Context) -> Outcome:
    """Delete records of advice older than ``retention.advice``."""
    days = context.config.retention.advice
    if days is None:
        return "retention.advice is null: every record stays"
    before_ms = context.now_ms - days * DAY_MS
    return f"{records.prune(context.vault, before_ms=before_ms, now_ms=context.now_ms):,} deleted"


def logs(context: Context) -> Outcome:
    """Rotate this machine's log file if it is of an earlier day, and delete rotated ones that are too old."""
    from supernova_ai.log.rotation import LogFile  # Windows cannot

    settings = context.config.logs
    if settings.file is None:
        return "logs.file is null: standard error is not rotated"
    LogFile(settings.file, max_bytes=settings.max_mb * 2**20, keep_days=settings.keep_days).rotate()
    return "rotated and tidied"


def verify(context: Context) -> Outcome:
    """Check the audit chain, the chain of advice, and every sum of the ledger."""
    audited = context.vault.verify_audit()
    advised = context.store.read(records.verify)
    summed = verify_ledger(context.store, context.config.all_budgets, folder=context.folder("archive"))
    problems = [
        *([] if audited.ok else [f"audit: {audited.reason} (see `supernova audit verify`)"]),
        *([] if advised.ok else [f"advice: {advised.problem} (see `supernova advice verify`)"]),
        *([] if summed.ok else [f"ledger: {summed.problems[0].what} (see `supernova ledger verify`)"]),
    ]
    if problems:
        raise JobFailed("; ".join(problems))
    return "all right"
