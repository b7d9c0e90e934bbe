"""The answer cache: what it gives, what it does not keep, and that its failures stay its own."""

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
from typing import Any

import pytest
import redis

from supernova_ai import ConfigError, ExtraMissing, Reply, Supernova, SupernovaError
from supernova_ai import config as configuration
from supernova_ai.config import Cache, Config
from supernova_ai.execution import cache as answers
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
from tests import desk

REDIS = os.environ.get("SUPERNOVA_TEST_REDIS", "redis://127.0.0.1:6379/0")

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]
MEMORY = {"type": "memory"}

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


@cache
def _absence_of_redis() -> str | None:
    try:
        redis.Redis.from_url(REDIS, socket_timeout=5).ping()
    except redis.RedisError as error:
        return str(error)
    return None


def settings_of(kind: str) -> dict[str, Any]:
    """The configuration of a cache. Redis is that of SUPERNOVA_TEST_REDIS, else of this machine."""
    if kind == "redis" and (absence := _absence_of_redis()):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Redis: {absence}")
    return {"cache": {"type": kind, "ttl": 60}, "redis": REDIS if kind == "redis" else None}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up no store for being slow: a busy machine's disk may take a while."""
    monkeypatch.setattr(answers, "PATIENCE_S", 60.0)


@pytest.fixture
def question() -> str:
    """What nobody asked before: a Redis may be shared, and remembers."""
    return f"What now, {secrets.token_hex(8)}?"


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider(Answer("Diversify, always.", usage=Usage(prompt=12, completion=3)))


@pytest.mark.parametrize("kind", ["memory", "disk", "redis"])
@each_way
async def test_same_request_is_answered_from_the_cache(
    kind: str, streaming: bool, question: str, open_nova: Open, stub: StubProvider, attempts: Rows
) -> None:
    """The second time nobody is asked and nothing is held: the answer is the first one's, at no cost."""
    nova = open_nova({"openai": stub.url}, **settings_of(kind))
    first = await nova.chat(question, user_id=7, session_id="s", streaming=streaming)
    second = await nova.chat(question, user_id=7, session_id="s", streaming=streaming)
    assert (first.cached, second.cached, len(stub.requests)) == (False, True, 1)
    assert (second.cost, second.cost_basis, second.attempts) == (Decimal(0), "cached", ())
    for name in ("content", "provider", "model", "tier", "usage", "finish_reason", "tier_reason"):
        assert getattr(first, name) == getattr(second, name)
    assert first.request_id != second.request_id
    asked, kept = sorted(attempts(), key=lambda row: row.basis == "cached")
    assert (kept.request, kept.user, kept.session, kept.task) == (second.request_id, "7", "s", "chat")
    assert (kept.state, kept.basis, kept.cost, kept.held, kept.windows) == ("settled", "cached", 0, 0, "[]")
    assert (kept.provider, kept.model, kept.tier) == (asked.provider, asked.model, asked.tier)
    assert (kept.prompt_name, kept.prompt_hash) == (asked.prompt_name, asked.prompt_hash)
    assert (kept.prompt, kept.completion, kept.latency_ms) == (0, 0, None)  # none of it is the provider's


async def test_stream_comes_in_one_piece(question: str, open_nova: Open, stub: StubProvider) -> None:
    """A plain answer that was kept serves a stream, whole at once, with the reply after it."""
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
async def test_what_changes_an_answer_misses(
    change: dict[str, Any], question: str, open_nova: Open, stub: StubProvider
) -> None:
    """Another text, user, tier, length, temperature or pin is another question."""
    models = {"economy": "gpt-4o-mini", "standard": "gpt-4o-mini"}
    nova = open_nova({"openai": {"url": stub.url, "models": models}}, cache=MEMORY)
    usual: dict[str, Any] = {"message": question, "user_id": 7}
    await nova.chat(**usual)
    assert not (await nova.chat(**usual | change)).cached
    assert (await nova.chat(**usual)).cached


async def test_what_does_not_change_it_hits(question: str, open_nova: Open, stub: StubProvider) -> None:
    """The session, the metadata, the timeout and the cap make no other question of it."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question)
    again = await nova.chat(question, session_id=1, metadata={"a": "b"}, timeout=9, max_cost="0.000001")
    assert again.cached


async def test_other_models_miss(question: str, open_nova: Open, stub: StubProvider) -> None:
    """A cache outlives the client, but not the models that were configured."""
    disk = {"type": "disk"}
    await open_nova({"openai": stub.url}, cache=disk).chat(question)
    assert (await open_nova({"openai": stub.url}, cache=disk).chat(question)).cached
    other = open_nova({"openai": {"url": stub.url, "models": {"standard": "gpt-4o"}}}, cache=disk)
    assert not (await other.chat(question)).cached


async def test_another_address_misses(
    question: str, open_nova: Open, stub: StubProvider, stub_provider: Any, path: Path
) -> None:
    """After a reload to another server its own answer is given, not that of the one before."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question)
    other = stub_provider("Another answer.")
    await nova.reload(desk.configure(path, {"openai": other.url}, cache=MEMORY))
    assert (await nova.chat(question)).content == "Another answer."


async def test_shared_answers_are_for_every_user(
    question: str, open_nova: Open, stub: StubProvider, attempts: Rows
) -> None:
    """With ``shared: true`` one user is given another's answer, and the row is the asking user's."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY | {"shared": True})
    await nova.chat(question, user_id=7)
    assert (await nova.chat(question, user_id=8)).cached
    assert {row.user for row in attempts() if row.basis == "cached"} == {"8"}


async def test_off_unless_configured(question: str, open_nova: Open, stub: StubProvider) -> None:
    """Without a word about it nothing is kept."""
    nova = open_nova({"openai": stub.url})
    assert not (await nova.chat(question)).cached
    assert not (await nova.chat(question)).cached


async def test_one_call_can_do_without(question: str, open_nova: Open, stub: StubProvider) -> None:
    """With ``cache=False`` an answer is neither taken from the cache nor put there."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    await nova.chat(question, cache=False)
    assert not (await nova.chat(question)).cached
    assert not (await nova.chat(question, cache=False)).cached
    assert (await nova.chat(question)).cached


async def test_full_budget_does_not_bear_on_it(question: str, open_nova: Open, stub: StubProvider) -> None:
    """What is in the cache is given even when no budget could bear asking again."""
    budgets = [{"name": "daily", "limit": 10, "per": "day"}]
    disk = {"type": "disk"}
    await open_nova({"openai": stub.url}, budgets=budgets, cache=disk).chat(question)
    budgets[0]["limit"] = 0.000001
    poor = open_nova({"openai": stub.url}, budgets=budgets, cache=disk)
    assert (await poor.chat(question)).cached


@each_way
async def test_answer_that_is_not_whole_is_not_kept(
    streaming: bool, question: str, open_nova: Open, stub: StubProvider
) -> None:
    """An answer that was cut short, or bounded by a budget, is asked for again."""
    nova = open_nova({"openai": stub.url}, routing={"min_tokens": 1}, cache=MEMORY)
    for limit in ({"max_tokens": 1}, {"max_cost": "0.0005"}):
        first = await nova.chat(question, streaming=streaming, **limit)
        assert first.fitted_to or first.finish_reason == "length"
        assert not (await nova.chat(question, streaming=streaming, **limit)).cached


async def test_lesser_tier_is_not_kept(
    question: str, open_nova: Open, stub: StubProvider, stub_provider: Callable[..., StubProvider]
) -> None:
    """An answer from a cheaper tier does not stand for what was asked once the dearer is back."""
    bad = stub_provider("Now I can.", [Failure(500)])
    providers = {
        "openai": {"url": bad.url, "models": {"premium": "gpt-4o"}},
        "anthropic": {"url": stub.url, "models": {"standard": "claude-haiku-4-5"}},
    }
    nova = open_nova(providers, cache=MEMORY)
    assert (await nova.chat(question, tier="premium")).tier == "standard"
    assert (await nova.chat(question, tier="premium")).content == "Now I can."


async def test_abandoned_stream_is_not_kept(question: str, open_nova: Open, stub: StubProvider) -> None:
    """A stream that was left early is no answer."""
    nova = open_nova({"openai": stub.url}, cache=MEMORY)
    async with nova.stream(question) as stream:
        await anext(stream)
    assert not (await nova.chat(question)).cached


async def test_disk_is_the_database_and_sealed(
    question: str, open_nova: Open, stub: StubProvider, path: Path
) -> None:
    """The file of the database has the answer, but neither its text nor the question nor an API key."""
    await open_nova({"openai": stub.url}, cache={"type": "disk"}).chat(question, user_id=7)
    content = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    assert b"supernova:answer:" in content
    for secret in ("Diversify, always.", question, desk.key_of("openai")):
        assert secret.encode() not in content


async def test_dead_redis_fails_no_call(
    question: str, open_nova: Open, stub: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """With no server at the address, calls are answered as ever, and it is told once."""
    settings_of("redis")
    with closed_port() as port:
        cold = {"cache": {"type": "redis"}, "redis": f"redis://127.0.0.1:{port}/0"}
        nova = open_nova({"openai": stub.url}, **cold)
        for _ in range(3):
            assert (await nova.chat(question)).content == "Diversify, always."
    assert sum("engine.cache.failed" in record.message for record in caplog.records) == 1


async def test_without_a_master_key_nothing_is_kept_on_disk(
    question: str, stub: StubProvider, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is nothing to seal answers with, the client goes on without a cache and says so."""
    with_none = Supernova(desk.configure(path, {"ollama": stub.url}, cache={"type": "disk"}))
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
async def test_what_is_planted_in_redis_is_not_executed(
    value: bytes,
    question: str,
    open_nova: Open,
    stub: StubProvider,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Whatever stands in an answer's place is data: it is no answer, and the provider is asked again."""
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
    """YAML reads an unquoted off as false, and it is off all the same."""
    assert Config.model_validate({"cache": {"type": False}}).cache == Cache()
    assert Config.model_validate({"health": {"probes": False}}).health.probes == "off"


async def test_missing_driver_says_what_to_install(
    open_nova: Open, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its driver the first call says which extra brings it."""
    monkeypatch.setattr(answers, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'supernova-ai\[redis\]'"):
        await open_nova({"openai": stub.url}, cache={"type": "redis"}, redis=REDIS).chat("What now?")


class Nobody(Observer):
    """Does not care how attempts go: there are none."""

    def first_token(self, attempt: AttemptState) -> None:
        pass

    def ended(self, attempt: AttemptState, error: SupernovaError | None) -> None:
        pass


class Bench:
    """A cache over a store of the test's, with a clock of its own."""

    def __init__(self, store: Any, ledger: Ledger) -> None:
        self.now = 1000.0
        self.cache = AnswerCache(store, ledger, lambda: self.now)
        self.cache.apply(Cache(type="memory", ttl=60), ())
        self._call = RequestState(REQUEST, ledger, Nobody(), lambda: self.now, versions=Versions("c", "p"))
        self._place = self.cache.cache_key(REQUEST)

    async def ask(self) -> Reply | None:
        return await self.cache.look_up(self._call, self._place)

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
    """A store whose every operation does what the test says."""

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
async def test_store_that_fails_rests(
    act: Callable[[], Any], path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure, or a wait too long, the store is left alone for a minute; it is told once a minute."""
    monkeypatch.setattr(answers, "PATIENCE_S", 0.01)
    with Store(path) as store:
        broken = Broken(act)
        bench = Bench(broken, Ledger(store, ()))
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
async def test_damaged_value_is_no_answer(value: Any, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is no whole answer is passed over without showing it in the log; the next answer replaces it."""
    with Store(path) as store:
        memory = InMemoryCache()
        bench = Bench(memory, Ledger(store, ()))
        await bench.keep()
        (key,) = memory.cache_dict
        memory.cache_dict[key] = value
        assert await bench.ask() is None
        assert "Diversify." not in caplog.text
        await bench.keep()
        kept = await bench.ask()
        assert kept is not None
        assert kept.content == "Diversify."


async def test_answers_are_kept_for_their_time(path: Path) -> None:
    """After ``ttl`` seconds an answer is gone."""
    with Store(path) as store:
        bench: Bench = Bench(InMemoryCache(clock=lambda: bench.now), Ledger(store, ()))
        await bench.keep()
        bench.now += 59
        assert await bench.ask() is not None
        bench.now += 2
        assert await bench.ask() is None


def test_row_of_a_hit_adds_up(new_database: Callable[[], str], tmp_path: Path) -> None:
    """On either engine the row counts as an answered attempt, verifies, and no bill is looked for."""
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
