"""An end that cannot be written waits: in a file until the database is back, in a table if it is refused."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import OperationalError
from typer.testing import CliRunner

from supernova_ai.cli.app import app
from supernova_ai.config import Budget
from supernova_ai.ledger import End, Entry, Hold, Ledger, leases, pending_ends, unwritten_ends
from supernova_ai.ledger.unwritten_ends import PendingEnds
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import StuckEndRow
from supernova_ai.types import FailurePattern, Usage
from tests.holds import OpenLedger, Take
from tests.processes import FORK
from tests.recount import attempts, check_store
from tests.upkeep.sample_ledger import report, run
from tests.waiting import comes_true

DAILY = Budget(name="daily", limit=Decimal(1), per="day", user="*")


END = End("settled", to_nano("0.1"), "exact", Usage(10, 20), 1_795_350_000_000, latency_ms=900)
ODD = End(
    "released",
    0,
    None,
    Usage(),
    1,
    error="a\ud800\0b",
    failure=FailurePattern("f", "E", 500, "x"),
    response="\n",
)
HOLD = Hold("attempt", 5, (1, 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "nova.db.owed"


@pytest.fixture
def failing(
    where: str, clock: SimpleNamespace, take: Take, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Ledger, Hold]]:
    """A ledger whose database fails at every commit, like a disk that is gone, after it placed this hold."""

    def fail() -> None:
        raise OperationalError("disk I/O error")

    with Store(where) as store:
        ledger = Ledger(store, (DAILY,), clock=lambda: clock.now)
        hold = take(ledger, "0.4", user_id="ann")
        monkeypatch.setattr(store._database, "commit", fail)
        yield ledger, hold


def states(store: Store) -> dict[str, tuple[str, int, int]]:
    return {name: (row.state, row.cost, row.late) for name, row in attempts(store).items()}


def stuck(store: Store) -> list[str]:
    return store.read(lambda database: [row.attempt for row in StuckEndRow.select().execute(database)])


SETTLED = ("settled", to_nano("0.1"), 0)


@pytest.mark.parametrize("end", [END, ODD], ids=["usual", "odd"])
def test_pending_ends_round_trip(path: Path, end: End) -> None:
    """Hold and end are read unchanged, whatever their texts contain; only the owner can read the file."""
    PendingEnds(path).add([(HOLD, end)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    endings, files = PendingEnds(path).take()
    assert endings == [(HOLD, end)]
    PendingEnds(path).discard(files)
    assert list(path.parent.iterdir()) == []
    assert PendingEnds(path).take() == ([], [])


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_an_incomplete_line_loses_no_other(path: Path, cut: int) -> None:
    """If the file ends in the middle of a line, all other ends are read, also those added after it."""
    one, two, three = (Hold(name, 1, ()) for name in ("one", "two", "three"))
    PendingEnds(path).add([(one, END), (two, END)])
    os.truncate(path, path.stat().st_size - cut)
    PendingEnds(path).add([(three, END)])
    endings, _ = PendingEnds(path).take()
    kept = ["one", "two", "three"] if cut == 1 else ["one", "three"]  # 1: the line feed alone
    assert [hold.attempt for hold, _ in endings] == kept


def test_invalid_lines_are_logged_and_skipped(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that are no ends, and bytes that are no text, stop nothing."""
    PendingEnds(path).add([(HOLD, END)])
    with path.open("ab") as file:
        file.write(b'\xff\xfe\n[1, 2]\n{}\nnull\n[{"attempt": 1}, {}]\n')
    endings, _ = PendingEnds(path).take()
    assert endings == [(HOLD, END)]
    assert caplog.text.count("ledger.owed.unreadable") == 5


def test_pending_ends_stay_until_they_are_discarded(path: Path) -> None:
    """Every reader finds them until then; an end in two files is read once."""
    pending_ends = PendingEnds(path)
    pending_ends.add([(HOLD, END)])
    first, _ = pending_ends.take()
    pending_ends.add([(HOLD, END)])
    second, files = PendingEnds(path).take()
    assert first == second == [(HOLD, END)]
    assert len(files) == 2


def test_an_end_added_while_the_file_is_read_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file is renamed between opening and writing, the end is written again."""
    sync = os.fsync
    taken: list[bool] = []

    def slow(descriptor: int) -> None:
        sync(descriptor)
        if not taken:
            taken.append(True)
            PendingEnds(path).discard(PendingEnds(path).take()[1])

    monkeypatch.setattr(os, "fsync", slow)
    PendingEnds(path).add([(HOLD, END)])
    assert PendingEnds(path).take()[0] == [(HOLD, END)]


@pytest.mark.parametrize("reason", ["full", "no folder"])
def test_without_a_file_pending_ends_stay_in_memory(
    path: Path, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the file is full or cannot be made, the process keeps the ends and logs that."""
    if reason == "full":
        monkeypatch.setattr(unwritten_ends, "MOST_BYTES", 10)
    else:
        path.parent.write_text("a file where the folder should be")
    pending_ends = PendingEnds(path)
    pending_ends.add([(HOLD, END)])
    assert "ledger.owed.not_saved" in caplog.text
    assert pending_ends.take()[0] == [(HOLD, END)]
    assert pending_ends.take()[0] == []


def test_the_next_process_writes_the_pending_ends(
    store: Store, failing: tuple[Ledger, Hold], clock: SimpleNamespace
) -> None:
    """A ledger whose database fails until it closes leaves its ends to the next one; the sums are right."""
    ledger, hold = failing
    assert ledger.end(hold, END).exception() is not None
    ledger.close()
    assert states(store)[hold.attempt][0] == "held"
    Ledger(store, (DAILY,), clock=lambda: clock.now).sweep()
    assert states(store)[hold.attempt] == SETTLED
    check_store(store)


def test_pending_ends_stay_in_their_file_while_no_other_can_be_written(
    store: Store, failing: tuple[Ledger, Hold], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk neither the database nor a new file takes the end: the file that has it is kept."""
    ledger, hold = failing
    assert ledger.end(hold, END).exception() is not None
    assert comes_true(lambda: pending_ends(store) == 1)  # saved in a callback, which may be later

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PendingEnds, "_append", full)
    ledger.close()
    Ledger(store, (DAILY,), clock=lambda: clock.now).sweep()
    assert states(store)[hold.attempt] == SETTLED
    check_store(store)


def test_an_end_after_the_store_was_closed_is_pending(
    store: Store, where: str, clock: SimpleNamespace, take: Take
) -> None:
    """A call that ends after its store was closed is settled by the next process."""
    closed = Store(where)
    ledger = Ledger(closed, (DAILY,), clock=lambda: clock.now)
    hold = take(ledger, "0.4", user_id="ann")
    closed.close()
    assert "closed" in str(ledger.end(hold, END).exception())
    Ledger(store, (DAILY,), clock=lambda: clock.now).sweep()
    assert states(store)[hold.attempt] == SETTLED


def test_pending_ends_survive_a_kill(
    store: Store, where: str, take: Take, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL the next process settles the pending end at its price; nothing is lost."""
    pending, never = FORK.Event(), FORK.Event()

    def victim() -> None:
        with Store(where) as mine:
            ledger = Ledger(mine, (DAILY,), clock=lambda: clock.now)
            hold = take(ledger, "0.4", id="victim", user_id="ann")

            def fail() -> None:
                raise OperationalError("disk I/O error")

            mine._database.commit = fail  # type: ignore[method-assign]
            ledger.end(hold, END).exception()
            mine._writer._stop()  # now the callback has saved the pending end
            pending.set()
            never.wait()

    child = FORK.Process(target=victim)
    child.start()
    assert pending.wait(60)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    other = Ledger(store, (DAILY,), clock=lambda: clock.now)
    assert other.sweep() == 0
    assert states(store)["victim"] == SETTLED
    check_store(store)


def test_a_pending_end_of_a_lost_hold_settles_late(
    store: Store, failing: tuple[Ledger, Hold], clock: SimpleNamespace
) -> None:
    """If another machine marked the hold as lost meanwhile, the pending end settles it late."""
    ledger, hold = failing
    ledger.end(hold, END).exception()
    clock.now += leases.TERM_S + 1
    now_ms = int(clock.now * 1000)
    assert store.write(lambda database: leases.sweep(database, now_ms, lambda *_: 0)).result() == 1
    ledger.close()
    Ledger(store, (DAILY,), clock=lambda: clock.now).sweep()
    assert states(store)[hold.attempt] == ("settled", to_nano("0.1"), 1)
    check_store(store)


def test_an_end_in_the_file_and_the_database_settles_once(
    store: Store, open_ledger: OpenLedger, take: Take
) -> None:
    """An end that was saved while the database was busy, and then written, changes nothing a second time."""
    ledger = open_ledger(DAILY)
    hold = take(ledger, "0.4", user_id="ann")
    gate = FORK.Event()
    store.write(lambda _: gate.wait(60))
    end = ledger.end(hold, END)
    ledger.save_pending([end])
    gate.set()
    assert end.result() is True
    ledger.sweep()
    assert states(store)[hold.attempt] == SETTLED
    check_store(store)


REFUSED = {
    "an overlong number": lambda: End("settled", 10**30, "exact", Usage(), 1),
    "a text with half a character": lambda: End("settled", 5, "exact", Usage(), 1, error="\ud800"),
}


@pytest.mark.parametrize("end", REFUSED.values(), ids=REFUSED)
def test_an_end_that_is_refused_is_set_aside(
    end: Callable[[], End],
    store: Store,
    where: str,
    open_ledger: OpenLedger,
    take: Take,
    caplog: Any,
    tmp_path: Path,
) -> None:
    """It delays no other end or process; its hold stays counted; verify, costs and the log report it."""
    ledger = open_ledger(DAILY)
    bad, good = take(ledger, "0.4", user_id="ann"), take(ledger, "0.2", user_id="ann")
    ledger.end(bad, end()).exception()
    assert ledger.end(good, END).result() is True
    ledger.sweep()
    ledger.close()
    assert stuck(store) == [bad.attempt]
    assert states(store)[bad.attempt][0] == "held"
    assert "ledger.end.set_aside" in caplog.text
    other = open_ledger(DAILY)
    other.sweep()
    take(other, "0.1", user_id="ann")
    found = report(store)
    assert [(finding.kind, finding.what) for finding in found.problems] == [
        ("set aside", f"attempt {bad.attempt}")
    ]
    config = tmp_path / "supernova.yaml"
    config.write_text(f"database: {where}\n")
    shown = CliRunner().invoke(app, ["costs", "--config", str(config)])
    assert "refused the ends of 1 attempt" in shown.output
    assert CliRunner().invoke(app, ["ledger", "verify", "--config", str(config)]).exit_code == 1


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_an_old_overlong_user_id_stops_no_other_end(
    store: Store,
    open_ledger: OpenLedger,
    make_entry: Callable[..., Entry],
    take: Take,
    clock: SimpleNamespace,
) -> None:
    """A hold of such a user is neither settled nor swept; all others in the same batches are."""
    dead = open_ledger()
    name = "".join(chr(0x4E00 + n * 7) for n in range(2800))
    bad, good = take(dead, "0.4", user_id=name), take(dead, "0.2")
    clock.now += leases.TERM_S + 1
    living = open_ledger(DAILY)
    assert living.sweep() == 1
    assert living.sweep() == 0
    assert {states(store)[hold.attempt][0] for hold in (bad, good)} == {"held", "lost"}
    assert stuck(store) == [bad.attempt]
    living.end(bad, END).exception()
    assert living.end(take(living, "0.1", user_id="ann"), END).result() is True
    run(store, "UPDATE attempt SET user_id = 'ann' WHERE id = ?", bad.attempt)
    living.sweep()
    assert stuck(store) == []
    assert states(store)[bad.attempt][0] == "settled"
    check_store(store)


def test_an_end_that_a_locked_file_refuses_is_pending(
    tmp_path: Path, clock: SimpleNamespace, take: Take
) -> None:
    """An end that cannot be written while another program locks the file is written by the next process."""
    where = tmp_path / "nova.db"
    with Store(where) as store:
        ledger = Ledger(store, (DAILY,), clock=lambda: clock.now)
        hold = take(ledger, "0.4", user_id="ann")
        store.write(lambda database: database.execute_sql("PRAGMA busy_timeout = 0").fetchall()).result()
        locker = sqlite3.connect(where, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        assert "locked" in str(ledger.end(hold, END).exception())
        store._writer._stop()
        assert (tmp_path / "nova.db.owed").exists()
        locker.execute("ROLLBACK")
        locker.close()
        Ledger(store, (DAILY,), clock=lambda: clock.now).sweep()
        assert states(store)[hold.attempt] == SETTLED
        assert not list(tmp_path.glob("*.owed*"))
