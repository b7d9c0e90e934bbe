"""The answer cache: what it returns, what it does not store, and that its failures never fail a call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis

from supernova_ai import ConfigError, ExtraMissing, ProviderTimeout, Reply, Supernova, SupernovaError
from supernova_ai import config as configuration
from supernova_ai.config import Cache, Config
from supernova_ai.execution import cache as answers
from supernova_ai.execution import engine
from supernova_ai.execution.attempt_state import AttemptState
from supernova_ai.execution.cache import AnswerCache
from supernova_ai.execution.request_state import RequestState, Versions
from supernova_ai.execution.settlement import Observer
from supernova_ai.ledger import Entry, Ledger
from supernova_ai.litellm_adapter.setup import InMemoryCache
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Answer, Failure, StubProvider, closed_port
from supernova_ai.types import Request, Usage
from supernova_ai.upkeep import reconcile
from supernova_ai.upkeep.verify import verify_ledger
from tests import clients

REDIS = os.environ.get("SUPERNOVA_TEST_REDIS", "redis://127.0.0.1:6379/0")

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]
MEMORY = {"type": "memory"}

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


@cache
def _redis_error() -> str | None:
    try:
        redis.Redis.from_url(REDIS, socket_timeout=5).ping()
    except redis.RedisError as error:
        return str(error)
    return None


def settings_of(kind: str) -> dict[str, Any]:
    """Return the settings of this cache type; Redis is at SUPERNOVA_TEST_REDIS, else on this machine."""
    if kind == "redis" and (error := _redis_error()):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Redis: {error}")
    return {"cache": {"type": kind, "ttl": 60}, "redis": REDIS if kind == "redis" else None}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never give up a slow store: the disk of a busy machine may take a while."""
    monkeypatch.setattr(answers, "PATIENCE_S", 60.0)


@pytest.fixture
def question() -> str:
    """Return a new question: a shared Redis has the answers of earlier runs."""
    return f"What now, {secrets.token_hex(8)}?"


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider(Answer("Diversify, always.", usage=Usage(prompt=12, completion=3)))


@pytest.mark.parametrize("kind", ["memory", "disk", "redis"])
@each_way
async def test_same_request_is_answered_from_the_cache(
    kind: str, streaming: bool, question: str, open_nova: Open, stub: StubProvider, attempts: Rows
) -> None:
    """A repeated request gets the first answer again, without a provider call, a hold or a cost."""
    nova = open_nova({"openai": stub.url}, **settings_of(kind))
    who: dict[str, Any] = {"user_id": 7, "session_id": "s", "team": "fx", "tags": {"desk": "spot"}}
    first = await nova.chat(question, **who, streaming=streaming)
    second = await nova.chat(question, **who, streaming=streaming)
    assert (first.cached, second.cached, len(stub.requests)) == (False, True, 1)
    assert (second.cost, second.cost_basis, second.attempts) == (Decimal(0), "cached", ())
    for name in ("content", "provider", "model", "tier", "usage", "finish_reason", "tier_reason"):
        assert getattr(first, name) == getattr(second, name)
    assert first.request_id != second.request_id
    asked, kept = sorted(attempts(), key=lambda row: row.basis == "cached")
    assert (kept.request, kept.user, kept.session, kept.task) == (second.request_id, "7", "s", "chat")
    assert (kept.team, kept.tags) == (asked.team, asked.tags) == ("fx", '{"desk":"spot"}')
    assert (kept.state, kept.basis, kept.cost, kept.held, kept.windows) == ("settled", "cached", 0, 0, "[]")
    assert (kept.provider, kept.model, kept.tier) == (asked.provider, asked.model, asked.tier)
    assert (kept.prompt_name, kept.prompt_hash) == (asked.prompt_name, asked.prompt_hash)
    assert (kept.prompt, kept.completion, kept.latency_ms) == (0, 0, None)  # the provider did nothing


async def test_cached_answer_is_streamed_in_one_piece(
    question: str, open_nova: Open, stub: StubProvider
) -> None:
    """A stream yields a cached plain answer as one piece, and then has its reply."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question)
    async with nova.stream(question) as stream:
        assert [token async for token in stream] == ["Diversify, always."]
    assert stream.reply.cached


@pytest.mark.parametrize(
    "change",
    [
        {"message": "And now?"},
        {"user_id": 8},
        {"user_id": None},
        {"tier": "economy"},
        {"max_tokens": 99},
        {"temperature": 0.5},
        {"model": "gpt-4o-mini"},
    ],
    ids=str,
)
async def test_different_request_misses(
    change: dict[str, Any], question: str, open_nova: Open, stub: StubProvider
) -> None:
    """A request with another text, user, tier, length, temperature or model is a miss."""
    models = {"economy": "gpt-4o-mini", "standard": "gpt-4o-mini"}
    nova = open_nova({"openai": {"url": stub.url, "models": models}}, cache=MEMORY)
    usual: dict[str, Any] = {"message": question, "user_id": 7}
    await nova.chat(**usual)
    assert not (await nova.chat(**usual | change)).cached
    assert (await nova.chat(**usual)).cached


async def test_options_outside_the_cache_key_hit(question: str, open_nova: Open, stub: StubProvider) -> None:
    """The session, the metadata, the timeout and ``max_cost`` are not part of the cache key."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question)
    again = await nova.chat(question, session_id=1, metadata={"a": "b"}, timeout=9, max_cost="0.000001")
    assert again.cached


async def test_other_models_miss(question: str, open_nova: Open, stub: StubProvider) -> None:
    """Another client hits the disk cache, unless other models are configured."""
    disk = {"type": "disk"}
    await open_nova({"openai": stub.url}, cache=disk).chat(question)
    assert (await open_nova({"openai": stub.url}, cache=disk).chat(question)).cached
    other = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-4o"}}}, cache=disk)
    assert not (await other.chat(question)).cached


async def test_another_address_misses(
    question: str, open_nova: Open, stub: StubProvider, stub_provider: Any, path: Path
) -> None:
    """After a reload to another address the answers from the old address are misses."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question)
    other = stub_provider("Another answer.")
    await nova.reload(clients.configure(path, {"openai": other.url}, cache=MEMORY))
    assert (await nova.chat(question)).content == "Another answer."


async def test_shared_answers_are_for_every_user(
    question: str, open_nova: Open, stub: StubProvider, attempts: Rows
) -> None:
    """With ``shared: true`` a user gets another user's answer, and the row names the user who asked."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY | {"shared": True})
    await nova.chat(question, user_id=7)
    assert (await nova.chat(question, user_id=8)).cached
    assert {row.user for row in attempts() if row.basis == "cached"} == {"8"}


async def test_off_unless_configured(question: str, open_nova: Open, stub: StubProvider) -> None:
    """Without cache settings nothing is cached."""
    nova = open_nova({"openai": stub.url})
    assert not (await nova.chat(question)).cached
    assert not (await nova.chat(question)).cached


async def test_one_call_bypasses_the_cache(question: str, open_nova: Open, stub: StubProvider) -> None:
    """With ``cache=False`` a call neither reads nor writes the cache."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question, cache=False)
    assert not (await nova.chat(question)).cached
    assert not (await nova.chat(question, cache=False)).cached
    assert (await nova.chat(question)).cached


async def test_cached_answer_needs_no_budget(question: str, open_nova: Open, stub: StubProvider) -> None:
    """A cached answer is returned even if the budget is too small for a new request."""
    budgets = [{"name": "daily", "limit": 10, "per": "day"}]
    disk = {"type": "disk"}
    await open_nova({"openai": stub.url}, budgets=budgets, cache=disk).chat(question)
    budgets[0]["limit"] = 0.000001
    poor = open_nova({"openai": stub.url}, budgets=budgets, cache=disk)
    assert (await poor.chat(question)).cached


@each_way
async def test_shortened_answer_is_not_cached(
    streaming: bool, question: str, open_nova: Open, stub: StubProvider
) -> None:
    """An answer that was cut off, or whose ``max_tokens`` was lowered to fit a budget, is not cached."""
    nova = open_nova({"openai": stub.url}, routing={"min_tokens": 1}, cache=MEMORY)
    for limit in ({"max_tokens": 1}, {"max_cost": "0.0005"}):
        first = await nova.chat(question, streaming=streaming, **limit)
        assert first.fitted_to or first.finish_reason == "length"
        assert not (await nova.chat(question, streaming=streaming, **limit)).cached


async def test_degraded_answer_is_not_cached(
    question: str, open_nova: Open, stub: StubProvider, stub_provider: Callable[..., StubProvider]
) -> None:
    """A cheaper tier's answer is not cached for the tier that was requested."""
    bad = stub_provider("Now I can.", [Failure(500)])
    providers = {
        "openai": {"url": bad.url, "models": {"premium": "gpt-4o"}},
        "anthropic": {"url": stub.url, "models": {"standard": "claude-haiku-4-5"}},
    }
    nova = open_nova(providers, cache=MEMORY)
    assert (await nova.chat(question, tier="premium")).tier == "standard"
    assert (await nova.chat(question, tier="premium")).content == "Now I can."


async def test_abandoned_stream_is_not_cached(question: str, open_nova: Open, stub: StubProvider) -> None:
    """A stream that the caller leaves early is not cached."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    stub.script.append(Answer("Diversify, always.", gate=Event()))
    async with nova.stream(question) as stream:
        await anext(stream)
    assert not (await nova.chat(question)).cached


@pytest.mark.parametrize("how", ["chat", "stream", "embed", "rerank"])
async def test_a_cached_answer_is_within_the_timeout(
    how: str, open_nova: Open, stub: StubProvider, path: Path
) -> None:
    """A busy database delays its row in the ledger, and so the answer, by no more than the call allows."""
    models = {"standard": "gpt-4o-mini", "embedding": "text-embedding-3-small"}
    ranking = {"url": stub.url, "models": {"rerank": "rerank-v3.5"}}
    nova = open_nova({"openai": {"url": stub.url, "models": models}, "cohere": ranking}, cache=MEMORY)

    async def ask(**options: Any) -> object:
        if how == "embed":
            return await nova.embed(["Profit rose."], **options)
        if how == "rerank":
            return await nova.rerank("Profit?", ["Profit rose.", "It rained."], **options)
        return await nova.chat("What now?", streaming=how == "stream", **options)

    await ask()
    free = Event()
    nova.store().write(lambda _: free.wait(60))
    with pytest.raises(ProviderTimeout, match=r"no whole answer within 0\.3 s") as raised:
        await ask(timeout=0.3)
    assert raised.value.request_id
    free.set()
    await ask()
    assert len(stub.chats) == 1


async def test_disk_cache_is_encrypted_in_the_database(
    question: str, open_nova: Open, stub: StubProvider, path: Path
) -> None:
    """The database file has the answer, but neither its text, the question nor an API key in clear."""
    await open_nova({"openai": stub.url}, cache={"type": "disk"}).chat(question, user_id=7)
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert b"supernova:answer:" in content
    for secret in ("Diversify, always.", question, clients.key_of("openai")):
        assert secret.encode() not in content


async def test_dead_redis_fails_no_call(
    question: str, open_nova: Open, stub: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """If Redis is unreachable calls are answered without the cache, and the log says so once."""
    settings_of("redis")
    with closed_port() as port:
        cold = {"cache": {"type": "redis"}, "redis": f"redis://127.0.0.1:{port}/0"}
        nova = open_nova({"openai": stub.url}, **cold)
        for _ in range(3):
            assert (await nova.chat(question)).content == "Diversify, always."
    assert sum("engine.cache.failed" in record.message for record in caplog.records) == 1


async def test_disk_cache_needs_a_master_key(
    question: str, stub: StubProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a master key to encrypt answers the client works without a cache, and the log says so."""
    with_none = Supernova(clients.configure(path, {"ollama": stub.url}, cache={"type": "disk"}))
    try:
        assert (await with_none.chat(question)).content
    finally:
        with_none.close()
    assert "engine.cache.failed" in caplog.text
    assert "master key" in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93.",
        b"__import__('pathlib').Path('planted').touch()",
        b"!!python/object/apply:os.system [touch planted]",
        b"(" * 5000,
    ],
    ids=["pickle", "expression", "yaml", "nested"],
)
async def test_planted_value_in_redis_is_not_executed(
    value: bytes,
    question: str,
    open_nova: Open,
    stub: StubProvider,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A foreign value under a cache key is never executed: it is a miss, and the provider is asked again."""
    monkeypatch.chdir(tmp_path)
    nova = open_nova({"openai": stub.url}, **settings_of("redis"))
    places: list[str] = []
    cache_key = AnswerCache.cache_key

    def watched(self: AnswerCache, request: Request) -> str | None:
        places.append(cache_key(self, request) or "")
        return places[-1]

    monkeypatch.setattr(AnswerCache, "cache_key", watched)
    await nova.chat(question)
    server = redis.Redis.from_url(REDIS)
    assert json.loads(json.loads(server.get(places[0])))["content"] == "Diversify, always."  # type: ignore[arg-type]
    server.set(places[0], value, ex=60)
    reply = await nova.chat(question)
    assert (reply.content, reply.cached) == ("Diversify, always.", False)
    assert "planted" not in os.listdir(tmp_path)  # noqa: PTH208


def test_redis_needs_an_address() -> None:
    """``type: redis`` without the server's address is an error in the configuration."""
    with pytest.raises(ConfigError, match="set 'redis' to redis://"):
        configuration.load(None, overrides={"cache": {"type": "redis"}})


def test_off_needs_no_quotes() -> None:
    """An unquoted ``off``, which YAML reads as false, switches the cache and the probes off."""
    assert Config.model_validate({"cache": {"type": False}}).cache == Cache()
    assert Config.model_validate({"health": {"probes": False}}).health.probes == "off"


async def test_missing_driver_says_what_to_install(
    open_nova: Open, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the Redis driver the first call raises ExtraMissing, which names the extra to install."""
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'supernova-ai\[redis\]'"):
        await open_nova({"openai": stub.url}, cache={"type": "redis"}, redis=REDIS).chat("What now?")


class NullObserver(Observer):
    """An observer that does nothing: these tests make no attempts."""

    def first_token(self, attempt: AttemptState) -> None:
        pass

    def ended(self, attempt: AttemptState, error: SupernovaError | None) -> None:
        pass


class CacheHarness:
    """An answer cache over the store of a test, with a fake clock."""

    def __init__(self, store: Any, ledger: Ledger) -> None:
        self.now = 1000.0
        self.cache = AnswerCache(store, ledger, lambda: self.now)
        self.cache.apply(Cache(type="memory", ttl=60), ())
        self._call = RequestState(REQUEST, ledger, NullObserver(), lambda: self.now)
        self._place = self.cache.cache_key(REQUEST)

    async def ask(self) -> Reply | None:
        return await self.cache.look_up(self._call, self._place, Versions("c", "p"))

    async def keep(self) -> None:
        await self.cache.store(self._call, self._place, REPLY)


REQUEST = Request(
    id="r", messages=({"role": "user", "content": "?"},), tier="standard", task="chat", max_tokens=9
)
REPLY = Reply(
    content="Diversify.",
    provider="openai",
    model="gpt-4o-mini",
    tier="standard",
    cost=Decimal(1),
    cost_basis="exact",
    usage=Usage(12, 3),
    latency_s=1,
    first_token_s=None,
    request_id="r",
    attempts=(),
    finish_reason="stop",
)


class Broken:
    """A cache store whose every operation runs the given function."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.asked = 0
        self._act = act

    async def async_get_cache(self, key: str) -> Any:
        self.asked += 1
        result = self._act()
        return await result if asyncio.iscoroutine(result) else result

    async def async_set_cache(self, key: str, value: str, ttl: int) -> None:
        await self.async_get_cache(key)


def fail() -> None:
    raise OSError("no space left on device")


async def hang() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("act", [fail, hang])
async def test_failed_store_is_paused(
    act: Callable[[], Any], path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error or a timeout the store is not used for a minute; each pause is logged once."""
    monkeypatch.setattr(answers, "PATIENCE_S", 0.01)
    with Store(path) as store:
        broken = Broken(act)
        bench = CacheHarness(broken, Ledger(store, ()))
        for _ in range(3):
            assert await bench.ask() is None
            await bench.keep()
        assert broken.asked == 1
        bench.now += answers.PAUSE_S
        assert await bench.ask() is None
        assert broken.asked == 2
    ours = [record.levelno for record in caplog.records if record.name.startswith("supernova_ai")]
    assert ours == [logging.WARNING] * 2


@pytest.mark.parametrize(
    "value", ["", "{", '{"content": "Diversify."}', "[]", 5, {"content": 5}, "null"], ids=repr
)
async def test_damaged_value_is_a_miss(value: Any, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged value is a miss and is not logged; the next answer replaces it."""
    with Store(path) as store:
        memory = InMemoryCache()
        bench = CacheHarness(memory, Ledger(store, ()))
        await bench.keep()
        (key,) = memory.cache_dict
        memory.cache_dict[key] = value
        assert await bench.ask() is None
        assert "Diversify." not in caplog.text
        await bench.keep()
        kept = await bench.ask()
        assert kept is not None
        assert kept.content == "Diversify."


async def test_answers_expire(path: Path) -> None:
    """An answer is a miss after ``ttl`` seconds."""
    with Store(path) as store:
        bench: CacheHarness = CacheHarness(InMemoryCache(clock=lambda: bench.now), Ledger(store, ()))
        await bench.keep()
        bench.now += 59
        assert await bench.ask() is not None
        bench.now += 2
        assert await bench.ask() is None


def test_row_of_a_hit_is_consistent(new_database: Callable[[], str], tmp_path: Path) -> None:
    """On both databases the row of a hit counts as an attempt, verifies, and needs no reconciliation."""
    entry = Entry(
        id="a",
        request="r",
        process="",
        user_id=None,
        session_id=None,
        task="chat",
        tier="standard",
        provider="openai",
        model="gpt-4o-mini",
        key_slot=None,
        held_nano=0,
        started_ms=1_000_000,
        prompt_name=None,
        prompt_hash=None,
        config_version="c",
        price_version="p",
    )
    budgets = Config().budgets
    with Store(new_database()) as store:
        ledger = Ledger(store, budgets)
        assert ledger.record_cached(entry).result()
        assert ledger.record_cached(replace(entry, id="b")).result()
        report = verify_ledger(store, budgets, folder=tmp_path)
        assert report.ok, report.problems
        assert report.checked["attempts"] == 2
        assert store.read(lambda database: list(reconcile.uncertain_attempts(database))) == []
        ledger.close()
