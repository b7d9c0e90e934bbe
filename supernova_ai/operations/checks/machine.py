"""Checks of the machine: Python, packages, SQLite, disk, clock and time zones."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from supernova_ai import config as configuration
from supernova_ai.characters import counted
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding
from supernova_ai.paths import is_server

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_PACKAGE = "supernova-ai"
_WAL_RESET_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The first SQLite of each series without the WAL-reset bug (https://sqlite.org/wal.html#walresetbug)."""

_LITTLE_DISK, _NO_DISK = 2**30, 100 * 2**20
_SKEW_S = 5.0


def python(_: Subject) -> Iterator[Finding]:
    """Report the version: pip and uv refuse one that is too old."""
    yield Finding("python", "ok", f"Python {platform.python_version()} on {platform.system()}")


def packages(subject: Subject) -> Iterator[Finding]:
    """Compare the installed packages with what this package requires, and look for needed extras."""
    from packaging.requirements import Requirement  # here: "supernova status" imports this module too

    needed = {"postgres"} if is_server(subject.loaded.database) else set()
    if subject.config.redis:
        needed.add("redis")
    count = 0
    for line in requires(_PACKAGE) or ():
        requirement = Requirement(line)
        extra = next((name for name in needed if _applies(requirement, name)), "")
        if not extra and not _applies(requirement, ""):
            continue
        count += 1
        remedy = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wanted = f"pip install '{_PACKAGE}[{extra}]'" if extra else remedy
            yield Finding("packages", "error", f"{requirement.name} is missing", wanted)
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            text = f"{requirement.name} {installed} is installed, and {requirement.specifier} is required"
            yield Finding("packages", "error", text, remedy)
    yield Finding("packages", "ok", f"{counted(count, 'package')} checked; LiteLLM {version('litellm')}")


def _applies(requirement: Requirement, extra: str) -> bool:
    if requirement.marker is None:
        return extra == ""
    return requirement.marker.evaluate({"extra": extra})


def sqlite(subject: Subject) -> Iterator[Finding]:
    """Look for releases of SQLite with the WAL-reset bug."""
    if is_server(subject.loaded.database):
        return
    number = sqlite3.sqlite_version_info
    text = f"SQLite {sqlite3.sqlite_version}"
    series = [fixed for fixed in _WAL_RESET_FIXED if fixed[:2] == number[:2]]
    if number >= _WAL_RESET_FIXED[-1] or (series and number >= series[0]):
        yield Finding("sqlite", "ok", text)
    else:
        yield Finding(
            "sqlite",
            "warning",
            f"{text} has the WAL-reset bug: processes that write at once can, in rare cases, damage the file",
            "make backups; run one process, use PostgreSQL, or a Python with SQLite 3.51.3 or newer",
        )


def disk(subject: Subject) -> Iterator[Finding]:
    """Look at the space left where the database is."""
    if is_server(subject.loaded.database):
        return
    folder = Path(subject.loaded.database).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < _LITTLE_DISK:
        remedy = "free space: without it no call can be recorded, so none is sent"
        yield Finding("disk", "error" if free < _NO_DISK else "warning", text, remedy)
    else:
        yield Finding("disk", "ok", text)


def clock(subject: Subject) -> Iterator[Finding]:
    """Compare this machine's clock with the database's, or with the latest attempt in a file."""
    skew_s = time.time() - subject.store.now()
    what = "the database server's"
    if subject.store.file is not None:
        statement = "SELECT COALESCE(MAX(started_ms), 0) FROM attempt"
        ((latest,),) = subject.store.read(lambda database: database.execute_sql(statement).fetchall())
        skew_s = min(0.0, time.time() - latest / 1000)
        what = "that of the latest attempt"
    if abs(skew_s) > _SKEW_S:
        way = "ahead of" if skew_s > 0 else "behind"
        text = f"this machine's clock is {abs(skew_s):,.0f} s {way} {what}"
        yield Finding(
            "clock", "warning", text, "synchronise the clock: systemctl enable --now systemd-timesyncd"
        )
    else:
        yield Finding("clock", "ok", f"this machine's clock agrees with {what}")


def time_zones(subject: Subject) -> Iterator[Finding]:
    """Say in which time zones budgets begin and jobs run; the configuration refuses unknown ones."""
    zones = sorted({budget.time_zone for budget in subject.config.budgets})
    text = f"budgets begin at midnight in {', '.join(zones) or 'UTC'}"
    text += f"; times of jobs are in {subject.config.jobs.time_zone}"
    if len(zones) > 1:
        yield Finding("time zones", "note", text, "one time zone for all budgets is easier to compare")
    else:
        yield Finding("time zones", "ok", text)


def data_folder() -> Path:
    """Return the folder of the database, of archives and of what else is kept."""
    return configuration.data_folder(configuration.read_environ())
