"""Sessions through the client: the history that is sent, what is stored, and how it is shortened."""

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
from supernova_ai.testing import Answer, Cut, Failure, Hang, Received, Step, StubProvider
from tests import clients

Open = Callable[..., Supernova]

MODELS = {"economy": "gpt-4o-mini", "standard": "gpt-4.1", "premium": "gpt-4o"}
LONG = "word " * 700  # 3,500 bytes, about 875 tokens


def sent(request: Received) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request.body["messages"]]


def stored(path: Path) -> int:
    with Store(path) as store:
        return store.read(lambda d: SessionTurnRow.select().count(d))


@pytest.fixture
def client(open_nova: Open, stub: StubProvider) -> Supernova:
    """A client that keeps a history of up to 1,000 tokens."""
    settings = {"history": True, "tokens": 1000}
    return open_nova({"openai": {"url": stub.url, "models": MODELS}}, sessions=settings)


async def test_history_is_sent_with_the_message(client: Supernova, stub: StubProvider) -> None:
    """Earlier messages and answers of the session come first, with and without streaming."""
    await client.chat("First?", session_id="s", user_id=1)
    await client.chat("Second?", session_id="s", user_id=1, streaming=True)
    async with client.stream("Third?", session_id="s", user_id=1) as stream:
        async for _ in stream:
            pass
    await client.chat("Fourth?", session_id="s", user_id=1)
    past = [("user", "First?"), ("assistant", stub.reply), ("user", "Second?"), ("assistant", stub.reply)]
    past += [("user", "Third?"), ("assistant", stub.reply)]
    assert [sent(request) for request in stub.chats] == [
        [*past[:before], ("user", message)]
        for before, message in zip((0, 2, 4, 6), ("First?", "Second?", "Third?", "Fourth?"), strict=True)
    ]


@pytest.mark.parametrize(
    "other", [{"user_id": 2}, {"user_id": None}, {"session_id": "t"}, {"session_id": None}], ids=str
)
async def test_sessions_are_separate(client: Supernova, stub: StubProvider, other: dict[str, Any]) -> None:
    """Another user, another session, or no session: the history is not sent."""
    await client.chat("First?", session_id="s", user_id=1)
    same: dict[str, Any] = {"session_id": "s", "user_id": 1}
    await client.chat("Second?", **same | other)
    assert sent(stub.chats[1]) == [("user", "Second?")]


async def test_without_history_a_session_is_a_label(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """Without ``sessions.history`` nothing is stored or sent; the ledger has the session id."""
    for _ in range(2):
        await nova.chat("What now?", session_id="s")
    assert [sent(request) for request in stub.chats] == [[("user", "What now?")]] * 2
    assert [row.session for row in clients.attempts(path)] == ["s", "s"]
    assert stored(path) == 0


async def test_analyses_are_not_in_the_history(client: Supernova, stub: StubProvider, path: Path) -> None:
    """The ledger has an analysis under its session, and the history does not."""
    await client.chat("First?", session_id="s")
    await client.analyze("Acme rose.", session_id="s")
    assert "First?" not in str(stub.chats[1].body)
    assert stored(path) == 1


async def test_history_outlives_the_client(client: Supernova, stub: StubProvider, path: Path) -> None:
    """Another client with the same database continues the session."""
    await client.chat("First?", session_id="s")
    client.close()
    async with Supernova(client.config, master=clients.MASTER) as other:
        await other.chat("Second?", session_id="s")
    assert sent(stub.chats[1])[0] == ("user", "First?")


async def test_failed_and_abandoned_calls_are_not_stored(
    client: Supernova, stub: StubProvider, path: Path
) -> None:
    """Only complete answers are stored: no error, no broken, abandoned or empty answer."""
    left = Answer("Left behind.", gate=Event())
    answers: list[Step] = [Failure(400), Cut(2), left, Answer("")]
    stub.script.extend(answers)
    with pytest.raises(ProviderError):
        await client.chat("First?", session_id="s")
    with pytest.raises(StreamInterrupted):
        await client.chat("Second?", session_id="s", streaming=True, on_interrupt="raise")
    async with client.stream("Third?", session_id="s") as stream:
        await anext(stream)
    with pytest.raises(NoAnswer):
        await client.chat("Fourth?", session_id="s")
    assert stored(path) == 0
    await client.chat("Fifth?", session_id="s")
    assert sent(stub.chats[-1]) == [("user", "Fifth?")]


async def test_calls_of_a_session_take_turns(client: Supernova, stub: StubProvider) -> None:
    """Calls of one session run one after the other, each with the full history."""
    await asyncio.gather(*(client.chat(f"Question {n}?", session_id="s") for n in range(5)))
    assert [len(request.body["messages"]) for request in stub.chats] == [1, 3, 5, 7, 9]


async def test_timeout_covers_waiting_for_the_session(client: Supernova, stub: StubProvider) -> None:
    """A call that waits longer than its timeout fails with the session's name, and blocks no other call."""
    stub.script.append(Answer("Diversify, always.", gate=Event()))
    async with client.stream("First?", session_id="s") as stream:
        await anext(stream)
        with pytest.raises(ProviderTimeout, match=r"session 's': .* did not end within 0\.05 s"):
            await client.chat("Second?", session_id="s", timeout=0.05)
    await client.chat("Third?", session_id="s")
    assert len(stub.chats) == 2


async def test_a_timeout_is_named_as_it_was_given(client: Supernova, stub: StubProvider) -> None:
    """Opening the client and reading the history take some of it; the error names the whole of it."""
    await client.chat("First?", session_id="s")
    stub.reply = Hang()
    with pytest.raises(ProviderTimeout, match=r"no whole answer within 0\.5 s"):
        await client.chat("Second?", session_id="s", timeout=0.5)


async def test_timeout_covers_reading_the_history(
    client: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call whose history is not read in time fails with the reason, and blocks no other call."""
    await client.warm_up()
    release = Event()
    with monkeypatch.context() as patched:
        patched.setattr(client._runtime.conversations, "_cipher", lambda _: release.wait(60))
        with pytest.raises(ProviderTimeout, match="its history was not read within"):
            await client.chat("First?", session_id="s", timeout=0.05)
    release.set()
    await client.chat("Second?", session_id="s")
    assert len(stub.chats) == 1


async def test_long_history_is_summarised(client: Supernova, stub: StubProvider, path: Path) -> None:
    """The oldest exchanges become a summary, by one economy request that the ledger has as a summary."""
    for message in ("First?", "Second?"):
        await client.chat(f"{message} {LONG}", session_id="s", user_id=1)
    stub.script.append("The client asked twice.")
    await client.chat("Third?", session_id="s", user_id=1, tier="premium")
    assert [row.task for row in clients.attempts(path)] == ["chat", "chat", "summary", "chat"]
    row = clients.attempts(path)[2]
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
    await client.chat("Fourth?", session_id="s", user_id=1)
    assert len(stub.chats) == 5
    assert [role for role, _ in sent(stub.chats[4])] == ["user", "user", "assistant", "user"]


async def test_failed_summary_drops_the_oldest(
    client: Supernova, stub: StubProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the summary fails, the chat continues without the oldest exchanges, and the log has the reason."""
    for message in ("First?", "Second?"):
        await client.chat(f"{message} {LONG}", session_id="s")
    stub.script.append(Failure(400))
    assert (await client.chat("Third?", session_id="s")).content == stub.reply
    assert sent(stub.chats[-1]) == [("user", "Third?")]
    assert "sessions.turns.dropped session=s turns=2 reason=RequestRejected" in caplog.text
    assert stored(path) == 1


async def test_max_cost_makes_no_summary(client: Supernova, stub: StubProvider, path: Path) -> None:
    """With ``max_cost`` no summary is requested: the oldest exchange is not sent, and stays stored."""
    for message in ("First?", "Second?"):
        await client.chat(f"{message} {LONG}", session_id="s")
    await client.chat("Third?", session_id="s", max_cost="0.5")
    assert sent(stub.chats[2])[0][1].startswith("Second?")
    assert stored(path) == 3
    assert len(stub.chats) == 3


async def test_quote_and_hold_include_the_history(client: Supernova, path: Path) -> None:
    """The history is paid for, so a quote and the hold include it."""
    before = (await client.quote("What now?", session_id="s")).worst_case["openai/gpt-4.1"]
    first = clients.attempts(path)
    await client.chat("Tell me. " + LONG[:2000], session_id="s")
    after = (await client.quote("What now?", session_id="s")).worst_case["openai/gpt-4.1"]
    assert before is not None
    assert after is not None
    assert after > before
    assert first == []
    await client.chat("What now?", session_id="s")
    assert clients.attempts(path)[-1].held == after * 10**9


async def test_forget_deletes_the_history_of_a_session(
    client: Supernova, stub: StubProvider, path: Path
) -> None:
    """A forgotten session starts empty, and others stay."""
    for session in ("s", "t"):
        await client.chat("First?", session_id=session, user_id=1)
    assert await client.forget("s") == 0
    assert await client.forget("s", user_id=1) == 1
    await client.chat("Second?", session_id="s", user_id=1)
    assert sent(stub.chats[-1]) == [("user", "Second?")]
    assert stored(path) == 2


async def test_history_is_kept_for_keep_days(
    client: Supernova, stub: StubProvider, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanges older than ``keep_days`` are not sent, and are deleted."""
    await client.chat("First?", session_id="s")
    now_ms = Store.now_ms
    monkeypatch.setattr(Store, "now_ms", lambda self: now_ms(self) + 31 * 86_400_000)
    await client.chat("Second?", session_id="s")
    assert sent(stub.chats[1]) == [("user", "Second?")]
    assert stored(path) == 1


async def test_history_needs_a_master_key(
    open_nova: Open, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a master key, a call with history is refused with remedies; one without is answered."""
    local = {"ollama": {"url": stub.url}}
    config = open_nova(local, sessions={"history": True}).config
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    async with Supernova(config) as nova:
        with pytest.raises(MasterKeyError) as raised:
            await nova.chat("What now?", session_id="s")
        assert "sessions.history: false" in "".join(raised.value.__notes__)
        assert stub.chats == []
        assert (await nova.chat("What now?")).content == stub.reply


async def test_history_binds_the_store_to_its_master_key(open_nova: Open, stub: StubProvider) -> None:
    """In a store without keys, the first history binds it to the master key that encrypts it."""
    nova = open_nova({"ollama": {"url": stub.url}}, sessions={"history": True})
    await nova.chat("First?", session_id="s")
    nova.close()
    other = Supernova(nova.config, master=type(clients.MASTER).of(bytes([1] * 32)))
    async with other:
        with pytest.raises(MasterKeyError, match="not the one"):
            await other.chat("Second?", session_id="s")
