"""What commands about money share: options, the ledger that they read, and an attempt's JSON form."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from supernova_ai.cli.options import load, search_option
from supernova_ai.config import Loaded
from supernova_ai.errors import InvalidRequest
from supernova_ai.ledger import labels, swept_ledger
from supernova_ai.money import to_usd
from supernova_ai.paths import reason_of
from supernova_ai.reports import breakdown
from supernova_ai.reports.periods import Period, latest_periods
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow

UTC = ZoneInfo("UTC")
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 2), datetime(2999, 12, 31)


def zone(name: str | ZoneInfo) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))  # typer passes the default too
    except (ValueError, OSError, KeyError):  # ZoneInfo raises different errors for different wrong names
        raise typer.BadParameter(f"{name!r} is not a time zone; use a name such as Europe/Paris") from None


def _day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it as 2026-10-31") from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise typer.BadParameter(f"{text} is not a day from {_FIRST_DAY.date()} to {_LAST_DAY.date()}")
    return day


def day_option(help: str, default: str) -> Any:  # noqa: A002 - as typer calls it
    """Return an option that takes a day."""
    return typer.Option(parser=_day, metavar="YYYY-MM-DD", help=help, show_default=default)


def grouping(text: str) -> str:
    """Return the name of a grouping if there is one; otherwise the command is used wrongly."""
    try:
        return breakdown.grouping(text)
    except InvalidRequest as error:
        raise typer.BadParameter(str(error)) from None


TeamOnly = Annotated[str | None, search_option("--team", help="Only this team's.")]
TagOnly = Annotated[
    str | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="Only those with this tag.", show_default="all"),
]
GROUPS = f"{', '.join(breakdown.GROUPINGS)}, or tag:NAME"
# A report takes time for each of its days: ten years are enough.
Days = Annotated[
    int, typer.Option("--days", "-d", min=1, max=3660, help="How many days back, today included.")
]
Zone = Annotated[
    ZoneInfo, typer.Option("--time-zone", parser=zone, metavar="NAME", help="The time zone of the days.")
]


@contextmanager
def open_ledger(config: Path | None) -> Iterator[tuple[Loaded, Store]]:
    """Open the configured ledger; the holds of dead processes have become lost."""
    loaded = load(config)
    with Store(loaded.database) as store:
        swept_ledger(store, loaded.config)
        yield loaded, store


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Report a path that cannot be written as an error of the command line."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {reason_of(error)}") from None


def last_days(days: int, now: datetime) -> Period:
    """Return the last so many days, today included, as one period."""
    found = latest_periods("day", days, now)
    return Period(f"{found[0].name} to {found[-1].name}", found[0].start, found[-1].end)


def in_usd(row: Any, money: Collection[str]) -> dict[str, Any]:
    """Return the fields of a record, with these amounts in USD."""
    fields = asdict(row)
    return fields | {name: to_usd(fields[name]) for name in money if fields[name] is not None}


def attempt_json(row: AttemptRow) -> dict[str, Any]:
    """Return the columns of an attempt, with its amounts in USD and its tags as an object."""
    money = {name: to_usd(getattr(row, name)) for name in ("cost", "held", "saved")}
    columns: dict[str, Any] = row.__data__
    return columns | money | {"tags": dict(labels.from_text(row.tags))}
