"""Conversations through the client: what is sent along, what is kept, and what becomes of too much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from supernova_ai import (
    MasterKeyError,
    NoAnswer,
    ProviderError,
    ProviderTimeout,
    StreamInterrupted,
    Supernova,
)
from supernova_ai.store import Store
from supernova_ai.store.tables import SessionTurnRow
from supernova_ai.testing import Answer, Cut, Failure, Received, Step, StubProvider
from tests import desk

Open = Callable[..., Supernova]

MODELS = {"economy": "gpt-4o-mini", "standard": "gpt-4.1", "premium": "gpt-4o"}
LONG = "word " * 700  # 3,500 bytes, about 875 tokens


def sent(request: Received) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.body["messages"]]


def kept(path: Path) -> int:
    with Store(path) as store:
        return store.read(lambda d: SessionTurnRow.select().count(d))


@pytest.fixture
def talk(open_nova: Open, stub: StubProvider) -> Supernova:
    """A client that keeps conversations of up to 1,000 tokens."""
    settings = {"history": True, "tokens": 1000}
    return open_nova({"openai": {"url": stub.url, "models": MODELS}}, sessions=settings)


async def test_what_was_said_goes_along(talk: Supernova, stub: StubProvider) -> None:
    """A session's earlier messages and answers come before the new one, plain or streamed."""
    await talk.chat("First?", session_id="s", user_id=1)
    await talk.chat("Second?", session_id="s", user_id=1, streaming=True)
    async with talk.stream("Third?", session_id="s", user_id=1) as stream:
        async for _ in stream:
            pass
    await talk.chat("Fourth?", session_id="s", user_id=1)
    past = [("user", "First?"), ("assistant", stub.reply), ("user", "Second?"), ("assistant", stub.reply)]
    past += [("user", "Third?"), ("assistant", stub.reply)]
    assert [sent(request) for request in stub.chats] == [
        [*past[:before], ("user", message)]
        for before, message in zip((0, 2, 4, 6), ("First?", "Second?", "Third?", "Fourth?"), strict=True)
    ]


@pytest.mark.parametrize(
    "other", [{"user_id": 2}, {"user_id": None}, {"session_id": "t"}, {"session_id": None}], ids=str
)
async def test_sessions_are_apart(talk: Supernova, stub: StubProvider, other: dict[str, Any]) -> None:
    """Another user's session of the same name, another session, and no session have none of it."""
    await talk.chat("First?", session_id="s", user_id=1)
    same: dict[str, Any] = {"session_id": "s", "user_id": 1}
    await talk.chat("Second?", **same | other)
    assert sent(stub.chats[1]) == [("user", "Second?")]


async def test_without_history_a_session_is_a_label(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """Unless it is switched on nothing is kept or sent along; the ledger has the session all the same."""
    for _ in range(2):
        await nova.chat("What now?", session_id="s")
    assert [sent(request) for request in stub.chats] == [[("user", "What now?")]] * 2
    assert [row.session for row in desk.attempts(path)] == ["s", "s"]
    assert kept(path) == 0


async def test_analyses_are_no_conversation(talk: Supernova, stub: StubProvider, path: Path) -> None:
    """An analysis counts to its session in the ledger, and is no part of what is said in it."""
    await talk.chat("First?", session_id="s")
    await talk.analyze("Acme rose.", session_id="s")
    assert "First?" not in str(stub.chats[1].body)
    assert kept(path) == 1


async def test_it_outlives_the_client(talk: Supernova, stub: StubProvider, path: Path) -> None:
    """Another client over the same database goes on with the conversation."""
    await talk.chat("First?", session_id="s")
    talk.close()
    async with Supernova(talk.config, master=desk.MASTER) as other:
        await other.chat("Second?", session_id="s")
    assert sent(stub.chats[1])[0] == ("user", "First?")


async def test_failed_and_abandoned_calls_are_not_kept(
    talk: Supernova, stub: StubProvider, path: Path
) -> None:
    """Only a whole answer is kept: no error, no broken stream, none that was left, none without words."""
    answers: list[Step] = [Failure(400), Cut(2), Answer("Left behind, word by word."), Answer("")]
    stub.script.extend(answers)
    with pytest.raises(ProviderError):
        await talk.chat("First?", session_id="s")
    with pytest.raises(StreamInterrupted):
        await talk.chat("Second?", session_id="s", streaming=True, on_interrupt="raise")
    async with talk.stream("Third?", session_id="s") as stream:
        await anext(stream)
    with pytest.raises(NoAnswer):
        await talk.chat("Fourth?", session_id="s")
    assert kept(path) == 0
    await talk.chat("Fifth?", session_id="s")
    assert sent(stub.chats[-1]) == [("user", "Fifth?")]


async def test_calls_at_once_take_turns(talk: Supernova, stub: StubProvider) -> None:
    """Of chats at once in one session each sees those before it whole; other sessions do not wait."""
    await asyncio.gather(*(talk.chat(f"Question {n}?", session_id="s") for n in range(5)))
    assert [len(request.body["messages"]) for request in stub.chats] == [1, 3, 5, 7, 9]


async def test_waiting_counts_to_the_timeout(talk: Supernova, stub: StubProvider) -> None:
    """A call whose turn does not come in its time fails by name, and holds nobody up."""
    async with talk.stream("First?", session_id="s") as stream:
        await anext(stream)
        with pytest.raises(ProviderTimeout, match="session 's'"):
            await talk.chat("Second?", session_id="s", timeout=0.05)
    await talk.chat("Third?", session_id="s")
    assert len(stub.chats) == 2


async def test_reading_counts_to_the_timeout(
    talk: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history that is not read in time fails the call by name, and holds nobody up."""
    await talk.warm_up()
    enough = Event()
    with monkeypatch.context() as patched:
        patched.setattr(talk._runtime.conversations, "_cipher", lambda: enough.wait(60))
        with pytest.raises(ProviderTimeout, match="its history was not read within"):
            await talk.chat("First?", session_id="s", timeout=0.05)
    enough.set()
    await talk.chat("Second?", session_id="s")
    assert len(stub.chats) == 1


async def test_too_much_is_summarised(talk: Supernova, stub: StubProvider, path: Path) -> None:
    """The oldest becomes a summary: one economy request of the session, in the ledger as a summary."""
    for message in ("First?", "Second?"):
        await talk.chat(f"{message} {LONG}", session_id="s", user_id=1)
    stub.script.append("The client asked twice.")
    await talk.chat("Third?", session_id="s", user_id=1, tier="premium")
    assert [row.task for row in desk.attempts(path)] == ["chat", "chat", "summary", "chat"]
    row = desk.attempts(path)[2]
    assert (row.tier, row.session, row.user) == ("economy", "s", "1")
    assert row.cost > 0
    asked = stub.chats[2].body
    assert "First?" in str(asked["messages"])
    assert "Second?" in str(asked["messages"])
    assert asked["max_tokens"] == 250
    assert sent(stub.chats[3]) == [
        ("user", "What we said before, in short:\nThe client asked twice."),
        ("user", "Third?"),
    ]
    await talk.chat("Fourth?", session_id="s", user_id=1)
    assert len(stub.chats) == 5
    assert [role for role, _ in sent(stub.chats[4])] == ["user", "user", "assistant", "user"]


async def test_what_cannot_be_summarised_is_dropped(
    talk: Supernova, stub: StubProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the summary fails the chat goes on without the oldest, and the log says so."""
    for message in ("First?", "Second?"):
        await talk.chat(f"{message} {LONG}", session_id="s")
    stub.script.append(Failure(400))
    assert (await talk.chat("Third?", session_id="s")).content == stub.reply
    assert sent(stub.chats[-1]) == [("user", "Third?")]
    assert "sessions.turns.dropped session=s turns=2 reason=RequestRejected" in caplog.text
    assert kept(path) == 1


async def test_a_cap_is_kept_without_a_summary(talk: Supernova, stub: StubProvider, path: Path) -> None:
    """With ``max_cost``, and for a quote, nobody else is asked: the oldest is left out, and kept."""
    for message in ("First?", "Second?"):
        await talk.chat(f"{message} {LONG}", session_id="s")
    await talk.chat("Third?", session_id="s", max_cost="0.5")
    assert sent(stub.chats[2])[0][1].startswith("Second?")
    assert kept(path) == 3
    assert len(stub.chats) == 3


async def test_a_quote_and_a_hold_count_what_goes_along(talk: Supernova, path: Path) -> None:
    """What was said before is paid for, so a quote and the hold of a call have it in them."""
    before = (await talk.quote("What now?", session_id="s")).worst_case["openai/gpt-4.1"]
    first = desk.attempts(path)
    await talk.chat("Tell me. " + LONG[:2000], session_id="s")
    after = (await talk.quote("What now?", session_id="s")).worst_case["openai/gpt-4.1"]
    assert before is not None
    assert after is not None
    assert after > before
    assert first == []
    await talk.chat("What now?", session_id="s")
    assert desk.attempts(path)[-1].held == after * 10**9


async def test_forgetting_a_session(talk: Supernova, stub: StubProvider, path: Path) -> None:
    """A forgotten session begins anew, and others stay."""
    for session in ("s", "t"):
        await talk.chat("First?", session_id=session, user_id=1)
    assert await talk.forget("s") == 0
    assert await talk.forget("s", user_id=1) == 1
    await talk.chat("Second?", session_id="s", user_id=1)
    assert sent(stub.chats[-1]) == [("user", "Second?")]
    assert kept(path) == 2


async def test_it_is_kept_for_so_many_days(
    talk: Supernova, stub: StubProvider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than ``keep_days`` is neither sent along nor kept."""
    await talk.chat("First?", session_id="s")
    now_ms = Store.now_ms
    monkeypatch.setattr(Store, "now_ms", lambda self: now_ms(self) + 31 * 86_400_000)
    await talk.chat("Second?", session_id="s")
    assert sent(stub.chats[1]) == [("user", "Second?")]
    assert kept(path) == 1


async def test_history_needs_a_master_key(
    open_nova: Open, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a master key a session with history is refused with remedies; a call without is answered."""
    local = {"ollama": {"url": stub.url}}
    config = open_nova(local, sessions={"history": True}).config
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    async with Supernova(config) as nova:
        with pytest.raises(MasterKeyError) as raised:
            await nova.chat("What now?", session_id="s")
        assert "sessions.history: false" in "".join(raised.value.__notes__)
        assert stub.chats == []
        assert (await nova.chat("What now?")).content == stub.reply


async def test_a_session_claims_the_store_for_its_master(open_nova: Open, stub: StubProvider) -> None:
    """Where no key was ever added, what is said binds the store to the master it is sealed with."""
    nova = open_nova({"ollama": {"url": stub.url}}, sessions={"history": True})
    await nova.chat("First?", session_id="s")
    nova.close()
    other = Supernova(nova.config, master=type(desk.MASTER).of(bytes([1] * 32)))
    async with other:
        with pytest.raises(MasterKeyError, match="not the one"):
            await other.chat("Second?", session_id="s")
