"""The table of all jobs, and which of them the configuration wants."""

from __future__ import annotations

from collections.abc import Sequence

from supernova_ai.config import Config
from supernova_ai.config.fields import nearest
from supernova_ai.errors import ConfigError
from supernova_ai.operations.jobs import work
from supernova_ai.operations.jobs.job import Job
from supernova_ai.operations.jobs.schedule import At, Every, Schedule

_LEAST_PROBES_S = 60


def _probes(config: Config) -> Schedule | None:
    if config.health.probes == "off" or not config.enabled:
        return None
    return Every(max(config.health.every, _LEAST_PROBES_S))


def _reports(config: Config) -> Schedule | None:
    return Every(3600) if config.reports.periods else None


def _backup(config: Config) -> Schedule | None:
    settings = config.backup
    if settings.schedule == "off":
        return None
    return At(settings.at, config.jobs.time_zone, "week" if settings.schedule == "weekly" else "day")


def _archive(config: Config) -> Schedule | None:
    return At("02:00", config.jobs.time_zone) if config.retention.attempts else None


def _advice(config: Config) -> Schedule | None:
    return At("02:30", config.jobs.time_zone) if config.retention.advice else None


def _logs(config: Config) -> Schedule | None:
    return At("00:10", "UTC") if config.logs.file else None  # the file's days are of UTC


def _keys(config: Config) -> Schedule:
    return At("08:00", config.jobs.time_zone)  # when somebody is at work


def _verify(config: Config) -> Schedule:
    return At("04:00", config.jobs.time_zone, per="week")


JOBS = (
    Job("alerts", "Send alerts and look for spikes", lambda _: Every(60), work.alerts),
    Job("probes", "Probe every provider", _probes, work.probes),
    Job("revoke", "Revoke replaced keys after their grace", lambda _: Every(60), work.revoke),
    Job("keys", "Check keys, and remind of rotation and expiry", _keys, work.keys),
    Job("holds", "Count the holds of dead processes as lost", lambda _: Every(300), work.holds),
    Job("expiry", "Delete expired sessions, answers and alerts", lambda _: Every(3600), work.expiry),
    Job("reports", "Write reports of costs", _reports, work.reports),
    Job("backup", "Write an encrypted backup, and delete old ones", _backup, work.backup),
    Job("archive", "Move old attempts into files", _archive, work.archive),
    Job("advice", "Delete old records of advice", _advice, work.advice),
    Job("logs", "Rotate and delete old log files", _logs, work.logs),
    Job("verify", "Check the audit, the advice and the ledger", _verify, work.verify),
)
"""Every job, in the order in which they start if several are due."""


def scheduled(config: Config, jobs: Sequence[Job] = JOBS) -> list[tuple[Job, Schedule]]:
    """Return the jobs that the configuration wants, each with its schedule.

    Raises:
        ConfigError: ``jobs.skip`` names a job that does not exist.
    """
    names = [job.name for job in jobs]
    for name in config.jobs.skip:
        if name not in names:
            hint = nearest(name, names) or f" Use some of {', '.join(names)}."
            raise ConfigError(f"'jobs.skip' names {name!r}, which is no job.{hint}")
    wanted = [(job, job.when(config)) for job in jobs if job.name not in config.jobs.skip]
    return [(job, schedule) for job, schedule in wanted if schedule is not None]
