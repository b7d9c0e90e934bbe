"""The client and what is around it: databases it cannot use, and what is left when it is closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import OperationalError

from supernova_ai import SchemaTooNew, StoreError, Supernova
from supernova_ai.ledger import Ledger
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import StubProvider
from tests import desk

Stub = Callable[..., StubProvider]


async def test_unusable_folder_says_what_to_do(
    open_nova: Callable[..., Supernova], stub: StubProvider
) -> None:
    """A database whose folder cannot be made is a StoreError with its remedy, and nothing is sent."""
    config = open_nova({"openai": stub.url}).config.model_copy(
        update={"database": "/dev/null/x/supernova.db"}
    )
    async with Supernova(config, master=desk.MASTER) as nova:
        with pytest.raises(StoreError, match="/dev/null"):
            await nova.chat("What now?")
    assert stub.requests == []


async def test_database_from_the_future_is_left_alone(
    nova: Supernova, path: Path, stub: StubProvider
) -> None:
    """A newer version's database is refused by name, at every call, and nothing is sent."""
    insert = "INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2099-01-01')"
    with Store(path) as store:
        store.write(lambda database: database.execute_sql(insert)).result()
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match="upgrade the package"):
            await nova.chat("What now?")
    assert stub.requests == []


async def test_full_disk_is_named_and_passes(nova: Supernova, path: Path, stub: StubProvider) -> None:
    """On a full disk a call is a StoreError with its remedy; once there is space calls are answered again."""
    await nova.warm_up()
    ledger = nova._runtime.engine._ledger

    def pragma(text: str) -> int:
        return int(
            ledger.write(lambda database: database.execute_sql(f"PRAGMA {text}").fetchone()[0]).result()
        )

    async def fill() -> None:
        for n in range(200):
            await nova.chat("What now?", user_id=f"{n:0>250}")

    pragma(f"max_page_count = {pragma('page_count')}")
    with pytest.raises(StoreError, match="Free some space"):
        await fill()
    pragma("max_page_count = 1000000")
    sent = len(stub.requests)
    assert (await nova.chat("What now?")).content == "Diversify, always."
    assert sent + 1 == len(stub.requests) < 200


async def test_a_hold_whose_commit_was_not_told_is_released(
    nova: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits and is gone before it says so: the call fails, and no budget stays blocked."""
    await nova.chat("What now?")  # the lease is there: the next commit is a hold's
    store = nova.store()
    database = store._writer._database
    commit = database.commit

    def lose_the_answer() -> None:
        monkeypatch.setattr(database, "commit", commit)
        commit()
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(database, "commit", lose_the_answer)
    with pytest.raises(StoreError, match="server closed the connection"):
        await nova.chat("What now?")
    store.write(lambda database: None).result()  # by now the release is committed
    rows = store.read(
        lambda database: list(AttemptRow.select().order_by(AttemptRow.started_ms).execute(database))
    )
    assert [(row.state, row.error) for row in rows] == [("settled", None), ("released", "Cancelled")]
    assert len(stub.requests) == 1


async def test_a_ledger_that_cannot_be_written_leaves_no_store_open(
    nova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing tells the error, and closes the database all the same."""

    def fail(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Ledger, "close", fail)
    await nova.warm_up()
    store = nova.store()
    with pytest.raises(StoreError, match="the disk is full"):
        nova.close()
    assert store.closed


def sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(entry.readlink()))
        except OSError:
            continue  # the listing's own
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
async def test_closing_leaves_nothing_behind(
    open_nova: Callable[..., Supernova], stub_provider: Stub
) -> None:
    """After close there is no thread, no task, no socket or file, and nothing of ours in LiteLLM's lists."""
    from supernova_ai.litellm_adapter.setup import litellm

    lists = ("callbacks", "success_callback", "failure_callback", "_async_success_callback")
    callbacks = [list(getattr(litellm, name)) for name in lists]  # LiteLLM enters its own cache for Gemini
    await asyncio.to_thread(lambda: None)  # this loop's own executor
    for _ in range(2):  # what LiteLLM keeps for the process's life it makes in the first round
        before = sockets(), set(threading.enumerate())
        with stub_provider("Diversify.") as stub:
            nova = open_nova(dict.fromkeys(["openai", "anthropic", "ollama", "huggingface"], stub.url))
            for model in ("gpt-4o-mini", "claude-haiku-4-5", "llama3.1"):
                for streaming in (False, True):
                    await nova.chat("What now?", model=model, streaming=streaming)
            async with nova.stream("What now?") as stream:
                await anext(stream)
            await asyncio.to_thread(nova.close)
        after = sockets(), set(threading.enumerate())
    assert after[0] - before[0] == set()
    assert {thread.name for thread in after[1] - before[1]} == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [list(getattr(litellm, name)) for name in lists] == callbacks
