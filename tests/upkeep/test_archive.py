"""Old attempts move into files and back; after any fault each is in one place, and all sums are right."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.ledger import Entry, Hold, Ledger
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import vacuum
from supernova_ai.store.tables import (
    AttemptRow,
    DailyRow,
    JournalRow,
    LatencyRow,
    PayerRow,
    UsageRow,
    WindowRow,
)
from supernova_ai.upkeep import archive, archive_files
from supernova_ai.upkeep.archive_files import Manifest
from tests.clients import vault_of
from tests.holds import entry, lose, settle
from tests.processes import run_in_child
from tests.upkeep.sample_ledger import BUDGETS, fill, report, rows, run

NOW = 1_800_000_000_000


@pytest.fixture
def ledger(
    open_ledger: Callable[..., Ledger], clock: Any, make_entry: Callable[..., Entry], seed: int
) -> Ledger:
    """A ledger with forty ended attempts over ten hours."""
    ledger = open_ledger(*BUDGETS)
    fill(ledger, clock, make_entry, 40, seed)
    return ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "far" / "archive"


@pytest.fixture
def put_away(store: Store, folder: Path, ledger: Ledger) -> Callable[..., list[Manifest]]:
    """Archive the attempts that ended before now, or this many milliseconds earlier."""

    def archive_(earlier: int = -1, rows: int = archive.ROWS) -> list[Manifest]:
        return archive.archive_attempts(
            vault_of(store), folder, before_ms=ledger.now_ms() - earlier, now_ms=ledger.now_ms(), rows=rows
        )

    return archive_


PutAway = Callable[..., list[Manifest]]


def archived(store: Store, folder: Path) -> list[dict[str, Any]]:
    """Read all rows that are in archives by the journal."""
    known = store.read(archive.current_archives)
    return [row for name in known for row in archive_files.read_rows(folder / name)]


def everything(store: Store, folder: Path) -> list[tuple[Any, ...]]:
    """Read every attempt in the table and in the archives, repeated if it is in both."""
    return sorted([*rows(store), *(tuple(row.values()) for row in archived(store, folder))])


def test_attempts_move_and_sums_stay_right(store: Store, folder: Path, put_away: PutAway) -> None:
    """What ended before the cut-off is in files only; windows and rollups stay and agree with both."""
    before = sorted(rows(store))
    sums = [rows(store, table) for table in (WindowRow, UsageRow, PayerRow, DailyRow, LatencyRow)]
    made = put_away(5 * 3_600_000, rows=8)
    assert len(made) > 1
    assert 0 < len(rows(store)) < len(before)
    assert everything(store, folder) == before
    assert [rows(store, table) for table in (WindowRow, UsageRow, PayerRow, DailyRow, LatencyRow)] == sums
    found = report(store, folder)
    assert found.problems == ()
    assert found.checked["attempts"] + found.checked["archived attempts"] == len(before)
    assert found.checked["archives"] == len(made)
    assert put_away(5 * 3_600_000) == []


def test_only_what_ended_before_the_cut_off_moves(
    store: Store,
    folder: Path,
    put_away: PutAway,
    ledger: Ledger,
    make_entry: Callable[..., Entry],
    clock: Any,
) -> None:
    """An open hold stays, however old it is, and so does an attempt that ended at the cut-off or later."""
    old = clock.now - 30 * 86_400
    entry = make_entry("0.1", started_ms=int(old * 1000))
    hold = ledger.write(lambda database: ledger.hold(database, entry)).result()
    put_away(0)
    left = {row[0] for row in rows(store)}
    assert left == {hold.attempt, "attempt-40"}
    assert report(store, folder).ok


def test_a_manifest_describes_the_file(store: Store, folder: Path, put_away: PutAway) -> None:
    """Number, times and sums agree with the lines, and the journal has the same manifest."""
    (manifest,) = put_away()
    lines = list(archive_files.read_rows(folder / manifest.file))
    assert manifest.rows == len(lines) == 40
    assert (manifest.first_ms, manifest.last_ms) == (lines[0]["started_ms"], lines[-1]["started_ms"])
    assert sum(state["cost_nano"] for state in manifest.states.values()) == sum(
        line["cost_nano"] for line in lines
    )
    beside = (folder / manifest.file.replace(".jsonl.gz", ".json")).read_text()
    (note,) = store.read(lambda database: list(JournalRow.select().execute(database)))
    assert (note.event, note.after) == ("archive.made", beside)
    assert json.loads(beside)["file_sha256"] == manifest.file_sha256


def test_archives_are_private(folder: Path, put_away: PutAway) -> None:
    """Only the owner can read them, because they show who asked for what."""
    put_away()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_restoring_puts_all_back_once(store: Store, folder: Path, put_away: PutAway) -> None:
    """The table is as before; a second restore does nothing; the rows can be archived again."""
    before = rows(store)
    (manifest,) = put_away()
    assert rows(store) == set()
    assert archive.restore_attempts(vault_of(store), folder / manifest.file, now_ms=NOW) == 40
    assert rows(store) == before
    assert archive.restore_attempts(vault_of(store), folder / manifest.file, now_ms=NOW) == 0
    assert rows(store) == before
    assert report(store, folder).problems == ()
    (again,) = put_away()
    assert again.file != manifest.file
    assert archive.restore_attempts(vault_of(store), folder / manifest.file, now_ms=NOW) == 0
    assert report(store, folder).problems == ()


def test_a_column_added_later_gets_its_default(folder: Path) -> None:
    """An archive from before a column existed can be read."""
    file = folder / "old.jsonl.gz"
    folder.mkdir(parents=True)
    file.write_bytes(gzip.compress(b'{"id":"a"}\n'))
    (row,) = archive_files.read_rows(file)
    assert (row["id"], row["late"], row["response_id"]) == ("a", 0, None)


def spoil(file: Path) -> None:
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"gpt", b"tpg"), mtime=0))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def forge_manifest(file: Path) -> None:
    beside = file.with_name(file.name.replace(".jsonl.gz", ".json"))
    beside.write_text(beside.read_text().replace('"rows": 40', '"rows": 41'))


@pytest.mark.parametrize("harm", [spoil, cut, Path.unlink, forge_manifest])
def test_a_damaged_archive_is_reported_and_not_restored(
    store: Store, folder: Path, put_away: PutAway, harm: Callable[[Path], None]
) -> None:
    """Verification reports the attempts that cannot be checked; restoring refuses and changes nothing."""
    (manifest,) = put_away()
    harm(folder / manifest.file)
    found = report(store, folder)
    (problem,) = found.problems  # windows are right, by the sums in the journal
    assert problem.kind == "archive"
    assert problem.what == f"40 attempts in archive {manifest.file}"
    assert problem.found.startswith("cannot be checked: ")
    with pytest.raises(StoreError, match="cannot be restored"):
        archive.restore_attempts(vault_of(store), folder / manifest.file, now_ms=NOW)
    assert rows(store) == set()


def test_windows_are_checked_even_without_the_archive(store: Store, folder: Path, put_away: PutAway) -> None:
    """The journal has the sums of each archive, so that a changed window is still found."""
    (manifest,) = put_away()
    (folder / manifest.file).unlink()
    run(store, "UPDATE budget_window SET settled_nano = settled_nano + 1 WHERE id = 1")
    assert {problem.kind for problem in report(store, folder).problems} == {"archive", "window"}


def test_a_row_in_both_places_is_found(store: Store, folder: Path, put_away: PutAway) -> None:
    """A row in the table and in an archive is reported by its id."""
    kept = next(iter(sorted(rows(store))))
    put_away()
    store.write(lambda database: bulk.insert(database, AttemptRow, [kept])).result()
    assert f"attempt {kept[0]}" in {problem.what for problem in report(store, folder).problems}


def test_another_ledgers_archive_is_refused(store: Store, folder: Path) -> None:
    """An archive that this ledger's journal does not name is not restored."""
    with pytest.raises(InvalidRequest, match=r"made no archive 'theirs\.jsonl\.gz'"):
        archive.restore_attempts(vault_of(store), folder / "theirs.jsonl.gz", now_ms=NOW)


def test_a_full_disk_changes_nothing(
    store: Store, folder: Path, put_away: PutAway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row stays in the table, no file is left, and the error says what to do."""
    before = rows(store)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*make the folder writable with room"):
        put_away()
    assert rows(store) == before
    assert list(folder.iterdir()) == []


def test_an_attempt_that_changes_meanwhile_is_not_lost(
    store: Store, folder: Path, put_away: PutAway, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late settlement before the deletion rolls the deletion back; the next run archives the new row."""
    hold = _lost(ledger)
    real = archive_files.write_archive

    def late(*given: Any) -> Manifest:
        manifest = real(*given)
        monkeypatch.setattr(archive_files, "write_archive", real)
        settle(ledger, hold, "0.000000007")
        return manifest

    monkeypatch.setattr(archive_files, "write_archive", late)
    with pytest.raises(StoreError, match="some attempts changed meanwhile"):
        put_away()
    assert list(folder.iterdir()) == []
    assert len(rows(store)) == 41
    put_away()
    assert [row["cost_nano"] for row in archived(store, folder) if row["id"] == hold.attempt] == [7]
    assert report(store, folder).ok


def _lost(ledger: Ledger) -> Hold:
    wanted = entry("lost-one", 1000, ledger.now_ms())
    return lose(ledger, ledger.write(lambda database: ledger.hold(database, wanted)).result())


class Fault(BaseException):
    """An unexpected failure, such as the end of the process."""


@contextmanager
def fault_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail at this step: each write and sync of a file, and each statement of the transaction, is one."""
    steps: list[str] = []

    def step(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def doing(*given: Any, **named: Any) -> Any:
            steps.append(name)
            if len(steps) == number:
                raise Fault(name)
            return real(*given, **named)

        return doing

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", step("fsync", os.fsync))
        patched.setattr(os, "fdopen", step("write", os.fdopen))
        patched.setattr(bulk, "run", step("statement", bulk.run))
        patched.setattr(bulk, "insert", step("insert", bulk.insert))
        patched.setattr(archive, "_write_journal", step("journal", archive._write_journal))
        yield steps


def test_a_fault_at_any_step_loses_and_doubles_nothing(
    store: Store, folder: Path, put_away: PutAway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row is in one place and all sums are right; left-over files are reported."""
    before = sorted(rows(store))
    number, seen = 0, set()
    while True:
        number += 1
        with fault_at(number, monkeypatch) as steps:
            try:
                put_away()
            except Fault:
                pass
            else:
                break
        seen.add(steps[-1])
        assert everything(store, folder) == before
        assert report(store, folder).problems == ()
    assert seen == {"fsync", "write", "statement", "journal"}
    assert rows(store) == set()
    assert everything(store, folder) == before
    left = report(store, folder)
    assert left.problems == ()
    assert left.counts["left over"] == len([*folder.glob("*.gz")]) - 1 > 0


def test_a_fault_while_restoring_leaves_the_archive(
    store: Store, folder: Path, put_away: PutAway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows and the journal's entry are written together or not at all."""
    before = sorted(rows(store))
    (manifest,) = put_away()
    number = 0
    while True:
        number += 1
        with fault_at(number, monkeypatch):
            try:
                archive.restore_attempts(vault_of(store), folder / manifest.file, now_ms=NOW)
            except Fault:
                pass
            else:
                break
        assert rows(store) == set()
        assert everything(store, folder) == before
    assert number > 2
    assert sorted(rows(store)) == before
    assert report(store, folder).problems == ()


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_a_killed_process_loses_and_doubles_nothing(
    store: Store, where: str, folder: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any sync or within the transaction of two archives: every row is in one place."""
    before = sorted(rows(store))
    codes = []

    def put_away(killed_at: int) -> None:
        left = iter(range(killed_at - 1))

        def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
            def doing(*given: Any, **named: Any) -> Any:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*given, **named)

            return doing

        monkeypatch.setattr(os, "fsync", deadly(os.fsync))
        monkeypatch.setattr(archive, "_write_journal", deadly(archive._write_journal))
        now = ledger.now_ms() + 1
        with Store(where) as there:
            archive.archive_attempts(vault_of(there), folder, before_ms=now, now_ms=now, rows=20)

    for number in range(1, 20):
        codes.append(run_in_child(partial(put_away, number)))
        assert everything(store, folder) == before
        assert report(store, folder).problems == ()
        if codes[-1] == 0:
            break
    assert set(codes) == {-signal.SIGKILL, 0}
    assert rows(store) == set()


def test_vacuum_changes_no_row(store: Store, ledger: Ledger, put_away: PutAway, folder: Path) -> None:
    """The ledger can be used during and after a vacuum."""
    put_away(5 * 3_600_000)
    before = rows(store)
    store.read(vacuum)
    assert rows(store) == before
    assert report(store, folder).ok
    _lost(ledger)
    assert len(rows(store)) == len(before) + 1


def test_vacuum_gives_space_back(tmp_path: Path) -> None:
    """A SQLite file is smaller after its rows are deleted and it was vacuumed."""
    path = tmp_path / "big.db"
    with Store(path) as store:
        run(store, "CREATE TABLE filler (text TEXT)")
        run(store, "INSERT INTO filler VALUES (?)", "x" * 3_000_000)
        run(store, "DELETE FROM filler")
        store.read(vacuum)
        assert path.stat().st_size < 1_000_000
        assert Path(f"{path}-wal").stat().st_size == 0


def test_an_overlong_line_is_not_read(tmp_path: Path) -> None:
    """A small file with one line of many MiB is reported as damaged, and not read into memory as a whole."""
    file = tmp_path / "attempts.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": "' + bytes(64 * 2**20)))
    with pytest.raises(StoreError, match="it has a line of more than"):
        list(archive_files.read_rows(file))
