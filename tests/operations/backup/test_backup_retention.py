"""Which backups are kept: one of each of the latest days, weeks and months, and always the last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.config.operations import Keep
from supernova_ai.operations.backup import retention
from supernova_ai.operations.backup.retention import BackupFile, backups_in, superfluous
from supernova_ai.store import Store
from tests.operations.backup.conftest import Back, vault_of

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)

sqlite_only = pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)


def backup(created: datetime) -> BackupFile:
    return BackupFile(Path(f"{created.isoformat()}.backup"), "5e" * 16, created, 1)


def kept(times: list[datetime], keep: Keep) -> list[datetime]:
    gone = {one.created for one in superfluous(map(backup, times), keep)}
    return [time for time in times if time not in gone]


def test_a_year_of_daily_backups() -> None:
    """The defaults keep the last of 7 days, 5 weeks and 12 months."""
    days = [NOON - timedelta(days=number) for number in range(400)]
    found = kept(sorted(days), Keep())
    assert found[-7:] == sorted(days)[-7:]
    assert [f"{time:%m-%d}" for time in found[:-7]] == [
        *("12-31", "01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31"),
        *("11-01", "11-08", "11-15", "11-22"),
    ]


def test_of_one_day_the_last_is_kept() -> None:
    """Earlier backups of the day go."""
    hours = [NOON - timedelta(hours=number) for number in range(5)]
    assert kept(hours, Keep()) == [NOON]


@given(
    st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1, unique=True),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_the_last_is_never_deleted_and_pruning_twice_deletes_no_more(
    times: list[datetime], daily: int, monthly: int
) -> None:
    """Whatever is kept, even if all numbers are 0."""
    keep = Keep(daily=daily, weekly=0, monthly=monthly)
    found = kept(times, keep)
    assert max(times) in found
    assert kept(found, keep) == found
    assert len(found) <= max(1, daily + monthly)


@sqlite_only
def test_only_backups_of_this_database_are_deleted(back_up: Back, source: Store, tmp_path: Path) -> None:
    """Files of other stores, and files that only look like backups, stay; deletions are audited."""
    first = back_up().file
    second = back_up().file
    folder = first.parent
    other = folder / f"supernova-77777777-{first.name[19:]}"
    other.write_bytes(first.read_bytes().replace(bytes.fromhex(source.id), b"\x77" * 16, 1))
    false = folder / f"supernova-{source.id[:8]}-20200101-000000.backup"
    false.write_bytes(b"something else")
    renamed = folder / "mine.backup"
    renamed.write_bytes(first.read_bytes())
    assert [one.file for one in backups_in(folder) if one.store == source.id] == [first, second]
    deleted = retention.prune(folder, source.id, vault_of(source), Keep(daily=1, weekly=0, monthly=0))
    assert [one.file for one in deleted] == [first]
    assert set(folder.glob("*.backup")) == {second, other, false, renamed}
    last = list(vault_of(source).audit_events())[-1]
    assert (last.event, last.subject) == ("backup.pruned", first.name)
