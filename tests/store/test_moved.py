"""A database file that was moved, deleted or replaced is noticed before anything is written."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import StoreError, Supernova
from supernova_ai.execution import settlement
from supernova_ai.sessions import conversations
from supernova_ai.store import Store
from supernova_ai.testing import Answer, StubProvider
from tests import clients
from tests.store.conftest import insert, names


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    copied = path.with_name("copy.db")
    shutil.copy(path, copied)
    copied.rename(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("other"))


def replace_folder(path: Path) -> None:
    move_folder(path)
    path.parent.write_text("a file")


AWAY: dict[str, Callable[[Path], None]] = {
    "moved": move,
    "deleted": Path.unlink,
    "replaced": replace,
    "with its folder": move_folder,
    "a file for its folder": replace_folder,
}


@pytest.mark.parametrize("leave", AWAY.values(), ids=AWAY)
def test_a_missing_file_is_neither_written_nor_read_nor_created(
    path: Path, leave: Callable[[Path], None]
) -> None:
    """Writing and reading raise an error, and no empty database is created at the old path."""
    with Store(path) as store:
        store.write(insert("before")).result()
        leave(path)
        there = path.exists()
        with pytest.raises(StoreError, match=r"moved, deleted or replaced .* put it back, or restart"):
            store.write(insert("after")).result()
        with pytest.raises(StoreError, match="moved, deleted or replaced"):
            names(store)
        assert path.exists() is there


def test_a_file_that_cannot_be_reached_is_an_error_of_the_store(path: Path) -> None:
    """The error names the file and the reason, for reading as for writing."""
    with Store(path) as store:
        move_folder(path)
        path.parent.symlink_to(path.parent)
        with pytest.raises(StoreError, match=rf"could not be used \({path}\): .*symbolic links"):
            store.write(insert("after")).result()
        with pytest.raises(StoreError, match="symbolic links"):
            names(store)


def test_a_file_that_is_put_back_is_used_again(path: Path) -> None:
    """After the file is put back the store works without a restart."""
    with Store(path) as store:
        path.rename(path.with_name("elsewhere.db"))
        assert store.write(insert("lost")).exception() is not None
        path.with_name("elsewhere.db").rename(path)
        assert store.write(insert("kept")).result() == "kept"
        assert names(store) == {"kept"}


async def test_no_request_is_sent_without_its_ledger(
    path: Path, open_nova: Callable[..., Supernova], stub_provider: Callable[..., StubProvider]
) -> None:
    """A client whose database was moved fails before it takes a hold or sends anything."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    await nova.warm_up()
    move(path)
    with pytest.raises(StoreError, match="moved, deleted or replaced"):
        await nova.chat("What now?")
    assert stub.requests == []


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_answer_does_not_wait_for_a_locked_database(
    streaming: bool,
    path: Path,
    open_nova: Callable[..., Supernova],
    stub_provider: Callable[..., StubProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While another program locks the file, the answer is returned; its hold is settled later."""
    monkeypatch.setattr(settlement, "PATIENCE_S", 0.05)
    monkeypatch.setattr(conversations, "_SAVE_TIMEOUT_S", 0.05)
    gate = threading.Event()
    stub = stub_provider(Answer("Diversify.", gate=gate))
    nova = open_nova({"openai": stub.url}, sessions={"history": True})
    asking = asyncio.create_task(nova.chat("What now?", session_id="s", user_id="ann", streaming=streaming))
    await asyncio.to_thread(stub.wait_for_requests, 1)
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN IMMEDIATE")
    gate.set()
    try:
        reply = await asking
        owed = path.with_name(f"{path.name}.owed")
        assert reply.content == "Diversify."
        assert owed.exists()
    finally:
        locker.execute("ROLLBACK")
        locker.close()
    await asyncio.to_thread(nova.close)
    (row,) = clients.attempts(path)
    assert (row.state, row.basis) == ("settled", "exact")
    assert not owed.exists()
