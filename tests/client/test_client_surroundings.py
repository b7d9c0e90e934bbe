"""The client and its environment: unusable databases, and what is left after closing."""

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
from tests import clients

Stub = Callable[..., StubProvider]


async def test_unusable_folder_is_an_error(open_nova: Callable[..., Supernova], stub: StubProvider) -> None:
    """If the folder of the database cannot be created, a call is a StoreError, and nothing is sent."""
    config = open_nova({"openai": stub.url}).config.model_copy(
        update={"database": "/dev/null/x/supernova.db"}
    )
    async with Supernova(config, master=clients.MASTER) as nova:
        with pytest.raises(StoreError, match="/dev/null"):
            await nova.chat("What now?")
    assert stub.requests == []


async def test_database_of_a_newer_version_is_refused(
    nova: Supernova, path: Path, stub: StubProvider
) -> None:
    """Every call refuses the database of a newer version, and nothing is sent."""
    insert = "INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2099-01-01')"
    with Store(path) as store:
        store.write(lambda database: database.execute_sql(insert)).result()
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match="upgrade the package"):
            await nova.chat("What now?")
    assert stub.requests == []


async def test_full_disk_is_an_error_until_there_is_space(
    nova: Supernova, path: Path, stub: StubProvider
) -> None:
    """On a full disk a call is a StoreError; calls work again once there is space."""
    await nova.warm_up()
    ledger = nova._runtime.engine._ledger

    def pragma(text: str) -> int:
        return int(
            ledger.store.write(lambda database: database.execute_sql(f"PRAGMA {text}").fetchone()[0]).result()
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


async def test_hold_with_a_lost_commit_answer_is_released(
    nova: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit of the hold: the call fails, and the hold is released."""
    await nova.chat("What now?")  # the lease exists: the next commit is that of a hold
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
    assert [(row.state, row.error) for row in rows] == [("settled", None), ("released", "Withdrawn")]
    assert len(stub.requests) == 1


async def test_error_of_the_ledger_does_not_keep_the_store_open(
    nova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If closing the ledger fails, closing the client raises the error and closes the database."""

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
    """After closing there is no thread, task, socket or file, and no callback of ours in LiteLLM."""
    from supernova_ai.litellm_adapter.setup import litellm

    lists = ("callbacks", "success_callback", "failure_callback", "_async_success_callback")
    callbacks = [list(getattr(litellm, name)) for name in lists]  # LiteLLM enters its own cache for Gemini
    await asyncio.to_thread(lambda: None)  # this loop's own executor
    for _ in range(2):  # LiteLLM makes its process-wide objects in the first round
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
