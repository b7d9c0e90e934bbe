"""The table of all jobs: what each does and when, and which of them the configuration wants.

What does them is in ``registry``: importing it takes time that who only shows the jobs need not spend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from supernova_ai.config import Config
from supernova_ai.config.fields import nearest
from supernova_ai.errors import ConfigError
from supernova_ai.operations.jobs.schedule import At, Every, Schedule

_LEAST_PROBES_S = 60


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job: its name, which commands and ``jobs.skip`` use; what it does, in one line; and when it is due.

    ``when`` returns None if the configuration has nothing for it to do.
    """

    name: str
    does: str
    when: Callable[[Config], Schedule | None]


Planned = TypeVar("Planned", bound=PlannedJob)


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


PLANNED = (
    PlannedJob("alerts", "Send alerts and look for spikes", lambda _: Every(60)),
    PlannedJob("probes", "Probe every provider", _probes),
    PlannedJob("revoke", "Revoke replaced keys after their grace", lambda _: Every(60)),
    PlannedJob("keys", "Check keys, and remind of rotation and expiry", _keys),
    PlannedJob("holds", "Count the holds of dead processes as lost", lambda _: Every(300)),
    PlannedJob("expiry", "Delete expired sessions, answers and alerts", lambda _: Every(3600)),
    PlannedJob("reports", "Write reports of costs", _reports),
    PlannedJob("backup", "Write an encrypted backup, and delete old ones", _backup),
    PlannedJob("archive", "Move old attempts into files", _archive),
    PlannedJob("advice", "Delete old records of advice", _advice),
    PlannedJob("logs", "Rotate and delete old log files", _logs),
    PlannedJob("verify", "Check the audit, the advice and the ledger", _verify),
)
"""Every job, in the order in which they start if several are due."""


def scheduled(config: Config, jobs: Sequence[Planned]) -> list[tuple[Planned, Schedule]]:
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
