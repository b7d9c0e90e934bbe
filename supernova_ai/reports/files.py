"""Report files: written whole or not at all, one per period and format."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO, get_args
from zoneinfo import ZoneInfo

from peewee import Database, fn

from supernova_ai.paths import private_folder
from supernova_ai.reports import export
from supernova_ai.reports.breakdown import Grouping, labels, lines
from supernova_ai.reports.periods import Per, Period, periods_between
from supernova_ai.store import Store
from supernova_ai.store.tables import UsageRow

GROUPS: tuple[Grouping | None, ...] = (None, "provider", "model", "tier", "task", "prompt", "error", "user")
"""The groupings in each report file, the total first; then teams and tags, where the period has any.

Sessions are in the export of attempts."""

COLUMNS = ("time_zone", "by", *export.LINE_COLUMNS)

_MOST_OVERDUE = timedelta(days=35)
_DELAY = timedelta(hours=1)  # by then the attempts that were running at a period's end have ended


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """Yield a temporary file that replaces the path if the block succeeds; only its owner may read it.

    Raises:
        OSError: the file cannot be written; the path is unchanged.
    """
    path = path.resolve()  # replaces the target of a link, not the link
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a file")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_due(
    store: Store,
    folder: Path,
    *,
    now: float,
    time_zone: str = "UTC",
    pers: Iterable[Per] = get_args(Per),
) -> list[Path]:
    """Write the report files that are due and missing, and return them.

    A day, ISO week or month is due from one hour to 35 days after its end, unless it ended before the first
    attempt. Its files are named like ``costs-2026-11-21.csv`` and ``.json``. An existing file is never
    replaced.

    Args:
        folder: made if missing.
        now: Unix seconds.
        pers: which of day, week and month.

    Raises:
        OSError: a file cannot be written.
    """
    folder = folder.expanduser()
    private_folder(folder)
    at = datetime.fromtimestamp(now, ZoneInfo(time_zone))
    first = store.read(_first_hour)
    written = []
    for per in pers:
        for period in periods_between(per, at - _MOST_OVERDUE, at):
            recent = period.end.timestamp() > (at - _DELAY).timestamp()
            if first is None or period.hours[1] <= first or recent:
                continue
            paths = {form: folder / f"costs-{period.name}.{form}" for form in get_args(export.Format)}
            missing = {form: path for form, path in paths.items() if not path.exists()}
            if not missing:
                continue
            rows = store.read(partial(_rows, period=period, time_zone=time_zone))
            for form, path in missing.items():
                with atomic_file(path) as file:
                    export.write_rows(COLUMNS, rows, file, form)
                written.append(path)
    return written


def _first_hour(database: Database) -> int | None:
    ((hour,),) = UsageRow.select(fn.MIN(UsageRow.hour)).tuples().execute(database)
    return None if hour is None else int(hour)


def _rows(database: Database, period: Period, time_zone: str) -> list[export.Row]:
    return [
        {"time_zone": time_zone, "by": by or "all", **export.line_row(line)}
        for by in (*GROUPS, *labels(database, period))
        for line in lines(database, period, by)
    ]
