"""The sections of the YAML about operations: keys, reloading, backups, reports, logs and jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from supernova_ai.config.fields import Days, FilePath, Section, TimeZone, unquoted_off

Daily = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""A time of day, such as "03:30". It needs quotes in YAML, which reads 03:30 as a number."""

Versions = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class Keys(Section):
    """Whether API keys in environment variables are used (None: except in production), and reminders.

    A key should be rotated after ``rotate_after_days``; None: never. An alert reminds of it ``remind_days``
    before that, and before a key expires.
    """

    allow_environment: bool | None = None
    rotate_after_days: Days | None = 90
    remind_days: Days = 14


class Reload(Section):
    """What follows a reload. With ``probe``, providers are probed; with ``rollback``, the configuration
    before comes back if no provider is well any more.
    """

    check: Annotated[Literal["off", "probe"], unquoted_off] = "off"
    rollback: bool = False


class Keep(Section):
    """How many backups are kept: one of each of the last days, weeks and months."""

    daily: Versions = 7
    weekly: Versions = 5
    monthly: Versions = 12


class Backup(Section):
    """The schedule of backups: when they are made, where, with whose passphrase, and which are kept."""

    schedule: Annotated[Literal["off", "daily", "weekly"], unquoted_off] = "off"
    at: Daily = "03:00"
    to: FilePath | None = None
    passphrase_file: FilePath | None = None
    keep: Keep = Keep()


class Reports(Section):
    """Which reports of costs are written as files, into which folder, and whether they are sent as alerts."""

    periods: tuple[Literal["day", "week", "month"], ...] = ()
    folder: FilePath | None = None
    send: bool = False


class Logs(Section):
    """Where our processes log, and how. A program that imports the package configures its own logging.

    ``format`` and ``hash_users`` of None depend on the environment: JSON and hashed in production.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] | None = None
    file: FilePath | None = None
    max_mb: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 50
    keep_days: Days = 30
    hash_users: bool | None = None


class Jobs(Section):
    """The time zone of daily jobs, and the jobs that never run by themselves."""

    time_zone: TimeZone = "UTC"
    skip: tuple[str, ...] = ()
