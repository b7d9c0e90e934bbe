"""Files that are there whole or not at all, and the reports that are written as such."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TextIO, get_args
from zoneinfo import ZoneInfo

from peewee import Database, fn

from supernova_ai.paths import private_folder
from supernova_ai.reports import export
from supernova_ai.reports.breakdown import By, lines
from supernova_ai.reports.periods import Per, Period, spans
from supernova_ai.store import Store
from supernova_ai.store.tables import UsageRow

GROUPS: tuple[By | None, ...] = (None, "provider", "model", "tier", "task", "prompt", "error", "user")
"""What the report files are broken down by, after everything. Sessions are in the attempts' export."""

COLUMNS = ("time_zone", "by", *export.LINE_COLUMNS)

_KEPT_UP = timedelta(days=35)
_PATIENCE = timedelta(hours=1)  # attempts that were under way at a period's end have then ended


@contextmanager
def atomic(path: Path) -> Iterator[TextIO]:
    """Yield a file that takes the path's place once the block has ended well; only its owner may read it.

    Raises:
        OSError: it cannot be written; what was at the path still is.
    """
    path = path.resolve()  # of a link the target is replaced, not the link
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


def write_due(store: Store, folder: Path, *, now: float, time_zone: str = "UTC") -> list[Path]:
    """Write the report files that are due and not there yet, and return them.

    A day, ISO week or month is due an hour after its end and for 35 days, unless it ended before the first
    attempt. It becomes ``costs-2026-11-21.csv`` and ``.json``. A file that is there is never written again.

    Args:
        folder: made if missing.
        now: Unix seconds.

    Raises:
        OSError: a file cannot be written.
    """
    private_folder(folder)
    at = datetime.fromtimestamp(now, ZoneInfo(time_zone))
    first = store.read(_first_hour)
    written = []
    for per in get_args(Per):
        for span in spans(per, at - _KEPT_UP, at):
            if first is None or span.hours[1] <= first or span.end.timestamp() > (at - _PATIENCE).timestamp():
                continue
            paths = {form: folder / f"costs-{span.name}.{form}" for form in get_args(export.Format)}
            missing = {form: path for form, path in paths.items() if not path.exists()}
            if not missing:
                continue
            rows = store.read(partial(_rows, span=span, time_zone=time_zone))
            for form, path in missing.items():
                with atomic(path) as file:
                    export.write(COLUMNS, rows, file, form)
                written.append(path)
    return written


def _first_hour(database: Database) -> int | None:
    ((hour,),) = UsageRow.select(fn.MIN(UsageRow.hour)).tuples().execute(database)
    return None if hour is None else int(hour)


def _rows(database: Database, span: Period, time_zone: str) -> list[export.Row]:
    return [
        {"time_zone": time_zone, "by": by or "all", **export.line(line)}
        for by in GROUPS
        for line in lines(database, span, by)
    ]
