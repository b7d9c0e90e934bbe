"""Report files are written whole or not at all, once, and only their owner can read them."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from supernova_ai.ledger import rollups
from supernova_ai.reports.files import atomic_file, write_due
from supernova_ai.store import Store
from tests.holds import ended_attempt

NOW = datetime(2026, 11, 3, 2, tzinfo=UTC).timestamp()  # a Tuesday


@pytest.fixture
def store(new_database: Callable[[], str]) -> Iterator[Store]:
    with Store(new_database()) as store:
        yield store


@pytest.fixture
def spend(store: Store) -> Callable[..., None]:
    """Count a settled attempt of this many nano-USD at a time, in UTC."""

    def run(cost: int, month: int, day: int, user: str = "ann") -> None:
        sent = int(datetime(2026, month, day, 12, tzinfo=UTC).timestamp() * 1000)
        row = ended_attempt(cost, sent, user_id=user)
        store.write(lambda database: rollups.add(database, row)).result()

    return run


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    """The old file stays until the block ends, and if the block fails; no other file is left."""
    path = tmp_path / "report.csv"
    with atomic_file(path) as file:
        file.write("old\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"old\r\n"

    def fail() -> None:
        with atomic_file(path) as file:
            file.write("new")
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """A file has mode 0600, also if it replaces one that all could read."""
    path = tmp_path / "report.csv"
    path.write_text("old")
    path.chmod(0o644)
    with atomic_file(path) as file:
        file.write("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The target of a link is replaced; a path that is no file is refused."""
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with atomic_file(link) as file:
        file.write("new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")
    with pytest.raises(OSError, match="is not a file"), atomic_file(tmp_path):
        pass


def test_due_files_are_written_once(store: Store, spend: Callable[..., None], tmp_path: Path) -> None:
    """Complete days, weeks and months since the first attempt get files; a second run writes none."""
    spend(10**9, 10, 30)
    spend(1, 11, 2, user="=bob")
    folder = tmp_path / "reports"
    written = write_due(store, folder, now=NOW)
    names = ("2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-W44", "2026-10")
    assert [path.name for path in written] == [
        f"costs-{name}.{form}" for name in names for form in ("csv", "json")
    ]
    assert sorted(folder.iterdir()) == sorted(written)
    assert write_due(store, folder, now=NOW) == []
    written[0].unlink()
    assert write_due(store, folder, now=NOW) == [written[0]]


def test_files_say_what_was_spent(store: Store, spend: Callable[..., None], tmp_path: Path) -> None:
    """CSV and JSON have a line for the total and each group, with exact amounts and no formula."""
    spend(1, 11, 2, user="=bob")
    write_due(store, tmp_path, now=NOW)
    rows = json.loads((tmp_path / "costs-2026-11-02.json").read_text())
    assert [(row["by"], row["name"]) for row in rows] == [
        ("all", ""),
        ("provider", "openai"),
        ("model", "openai/gpt"),
        ("tier", "standard"),
        ("task", "chat"),
        ("prompt", ""),
        ("error", ""),
        ("user", "=bob"),
    ]
    assert {row["cost_usd"] for row in rows} == {"0.000000001"}
    assert {row["time_zone"] for row in rows} == {"UTC"}
    with (tmp_path / "costs-2026-11-02.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)][-1] == "'=bob"


def test_a_period_is_due_an_hour_after_its_end(
    store: Store, spend: Callable[..., None], tmp_path: Path
) -> None:
    """Attempts running at midnight may end first; the day is the time zone's."""
    spend(1, 11, 2)
    midnight = datetime(2026, 11, 3, tzinfo=ZoneInfo("Asia/Tokyo")).timestamp()

    def names(now: float) -> list[str]:
        return [path.name for path in write_due(store, tmp_path, now=now, time_zone="Asia/Tokyo")]

    assert names(midnight + 3599) == []
    assert names(midnight + 3600) == ["costs-2026-11-02.csv", "costs-2026-11-02.json"]


def test_an_empty_ledger_and_a_long_past_are_not_due(
    store: Store, spend: Callable[..., None], tmp_path: Path
) -> None:
    """Nothing is due before the first attempt, or more than 35 days after a period's end."""
    assert write_due(store, tmp_path, now=NOW) == []
    spend(1, 1, 1)
    written = [path.stem for path in write_due(store, tmp_path, now=NOW) if path.suffix == ".csv"]
    assert written[0] == "costs-2026-09-29"
    assert written[-1] == "costs-2026-10"
    assert len(written) == 35 + 5 + 2
