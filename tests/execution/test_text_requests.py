"""``embed`` and ``rerank``: the holds, keys, failover and ledger of chats, and vectors of one model only."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from decimal import Decimal
from threading import Event
from typing import Any

import pytest

from supernova_ai import (
    AuthenticationFailed,
    BudgetExceeded,
    InvalidRequest,
    NoProvider,
    PriceUnknown,
    ProviderTimeout,
    ProviderUnavailable,
    Ranked,
    Supernova,
    SupernovaError,
    UnreadableAnswer,
    UserErased,
)
from supernova_ai.execution import text_requests
from supernova_ai.store import Store
from supernova_ai.store.tables import AnswerRow, AttemptRow, WindowRow
from supernova_ai.testing import Answer, Failure, Hang, Raw, Received, StubProvider
from supernova_ai.testing.vector_dialects import vector_of
from supernova_ai.types import Usage
from supernova_ai.upkeep import privacy
from tests import clients
from tests.execution.test_cache import settings_of
from tests.waiting import until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

SMALL = {"models": {"embedding": "text-embedding-3-small"}}
BOTH = {"keys": ["primary", "backup"]}
TEXTS = ["Profit rose.", "Margins fell.", "Zinsen stiegen."]
PRICE = 20  # nano-USD per token


def openai(stub: StubProvider, **more: Any) -> dict[str, Any]:
    return {"openai": {"url": stub.url, **SMALL, **more}}


def cohere(stub: StubProvider, **more: Any) -> dict[str, Any]:
    return {"cohere": {"url": stub.url, "models": {"rerank": "rerank-v3.5"}, "keys": ["primary"], **more}}


def answer(*vectors: Any, **more: Any) -> Raw:
    data = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 6, "total_tokens": 6}
    return Raw(200, "application/json", json.dumps({"object": "list", "data": data, "usage": usage} | more))


async def test_each_text_has_its_vector(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Vectors come in the order of the texts, with the model, its provider and the exact cost."""
    stub = stub_provider()
    nova = open_nova(openai(stub))
    found = await nova.embed([*TEXTS, TEXTS[0]], user_id=7, session_id="s", team="desk", tags={"book": "fx"})
    assert found.vectors == tuple(tuple(vector_of(text)) for text in [*TEXTS, TEXTS[0]])
    assert (found.provider, found.model, found.dimensions) == ("openai", "text-embedding-3-small", 8)
    assert (found.usage, found.cost_basis, found.cached) == (Usage(prompt=6), "exact", 0)
    assert found.cost == Decimal(6 * PRICE) / 10**9
    (row,) = attempts()
    assert (row.task, row.tier, row.user, row.session) == ("embedding", "embedding", "7", "s")
    assert (row.team, "fx" in str(row.tags)) == ("desk", True)
    assert (row.cost, row.request) == (6 * PRICE, found.request_id)
    assert stub.chats[0].json == {
        "input": TEXTS,  # equal texts are sent once
        "model": "text-embedding-3-small",
        "encoding_format": "float",
    }
    assert (await nova.embed("Profit rose.")).vectors == found.vectors[:1]


async def test_the_hold_is_the_bound(open_nova: Open, stub_provider: Stub, window: Any) -> None:
    """While the provider works, the bytes of all texts are held, and an allowance for each text."""
    gate = Event()
    stub = stub_provider(Answer("", gate=gate))
    nova = open_nova(openai(stub))
    running = asyncio.create_task(nova.embed(TEXTS))
    await asyncio.to_thread(stub.wait_for_requests, 1)
    held = window().held
    gate.set()
    await running
    assert held == sum(len(text) + 32 for text in TEXTS) * PRICE
    assert (window().held, window().settled) == (0, 6 * PRICE)


async def test_without_usage_the_tokens_are_counted(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """An answer that reports no usage costs what our count of the texts says, as an estimate."""
    stub = stub_provider(Answer("", usage="missing"))
    found = await open_nova(openai(stub)).embed(TEXTS)
    (row,) = attempts()
    assert (found.cost_basis, found.usage.prompt > 6, row.cost <= row.held) == ("estimated", True, True)


async def test_dimensions_are_sent_and_checked(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """The vectors have the length that was asked for; other lengths are an error that is charged."""
    stub = stub_provider(script=[Answer(""), answer([0.5] * 8)])
    nova = open_nova(openai(stub))
    assert (await nova.embed("Profit rose.", dimensions=4)).dimensions == 4
    with pytest.raises(UnreadableAnswer, match="8 dimensions, and 4 were asked for"):
        await nova.embed("Profit rose.", dimensions=4)
    assert [row.cost for row in attempts()] == [2 * PRICE, 6 * PRICE]
    fixed = open_nova(openai(stub, models={"embedding": "text-embedding-ada-002"}))
    with pytest.raises(InvalidRequest, match="supports the parameter dimensions"):
        await fixed.embed("Profit rose.", dimensions=4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (answer([0.5]), "it has 1 vectors for 2 texts"),
        (answer(), "it has 0 vectors for 2 texts"),
        (answer([0.5], [0.5, 1]), r"its vectors have different lengths: \[1, 2\]"),
        (answer([0.5], [float("nan")]), "values that are not finite numbers"),
        (answer([0.5], []), r"a vector is \[\], and not a list of numbers"),
        (answer([0.5], None), "a vector is None, and not a list of numbers"),
    ],
)
async def test_wrong_vectors_are_refused_and_charged(
    wrong: Raw, words: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Missing, uneven and unreadable vectors are an error that says so; it is charged and not repeated."""
    stub = stub_provider(wrong)
    with pytest.raises(UnreadableAnswer, match=words):
        await open_nova(openai(stub, **BOTH)).embed(TEXTS[:2])
    (row,) = attempts()
    assert (row.state, row.cost, row.error) == ("settled", 6 * PRICE, "UnreadableAnswer")


async def test_vectors_follow_their_index(open_nova: Open, stub_provider: Stub) -> None:
    """A provider may send the vectors in another order than that of the texts."""
    data = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.0]}]
    stub = stub_provider(answer(data=data))
    assert (await open_nova(openai(stub)).embed(TEXTS[:2])).vectors == ((0.0,), (1.0,))


async def test_another_slot_answers(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """If one key of the provider fails the next one is used, and the keys are those of the slots."""
    stub = stub_provider(script=[Failure(429)])
    found = await open_nova(openai(stub, **BOTH)).embed(TEXTS)
    assert [(a.key_slot, a.outcome) for a in found.attempts] == [
        ("primary", "released"),
        ("backup", "settled"),
    ]
    assert [one.key for one in stub.chats] == [clients.key_of("openai", slot) for slot in BOTH["keys"]]


async def test_another_provider_of_the_model_answers(open_nova: Open, stub_provider: Stub) -> None:
    """A second provider with a model of the same name answers when the first one fails."""
    bad, good = stub_provider(Failure(500)), stub_provider()
    nova = open_nova(openai(bad) | {"ollama": {"url": good.url, **SMALL}})
    found = await nova.embed(TEXTS)
    assert (found.provider, found.model) == ("ollama", "text-embedding-3-small")
    assert good.chats[0].path == "/v1/embeddings"


async def test_another_model_never_answers(open_nova: Open, stub_provider: Stub) -> None:
    """A provider with another model is not asked, because vectors of two models cannot be compared."""
    bad, other = stub_provider(Failure(500)), stub_provider()
    nova = open_nova(
        openai(bad) | {"ollama": {"url": other.url, "models": {"embedding": "nomic-embed-text"}}}
    )
    with pytest.raises(ProviderUnavailable):
        await nova.embed(TEXTS)
    assert other.chats == []
    pinned = await nova.embed(TEXTS, model="ollama/nomic-embed-text", dimensions=4)
    assert (pinned.provider, pinned.model, pinned.dimensions) == ("ollama", "nomic-embed-text", 4)


async def test_models_for_chats_and_for_texts_are_apart(open_nova: Open, stub_provider: Stub) -> None:
    """Neither answers what the other is for, and an error lists the models that could be named."""
    stub = stub_provider()
    both = {"models": {"standard": "gpt-4o-mini", **SMALL["models"]}}
    nova = open_nova({"openai": {"url": stub.url, **both}})
    with pytest.raises(
        InvalidRequest, match="'gpt-4o-mini' is not configured for 'embedding'; choose one of: "
    ):
        await nova.embed(TEXTS, model="gpt-4o-mini")
    with pytest.raises(InvalidRequest, match="choose one of: openai/gpt-4o-mini"):
        await nova.chat("What now?", model="text-embedding-3-small")
    with pytest.raises(NoProvider, match=r"the task 'rerank': set 'providers.<name>.models.rerank'"):
        await nova.rerank("profit", TEXTS)


async def test_long_lists_are_sent_in_batches(
    monkeypatch: pytest.MonkeyPatch, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Batches are bounded by their number of texts and their size, and are attempts of one request."""
    monkeypatch.setattr(text_requests, "MOST_TEXTS", 3)
    monkeypatch.setattr(text_requests, "MOST_TOKENS", 20)
    texts = ["a", "b", "c", "d", "e" * 15, "f" * 15, "g" * 50, "h"]
    stub = stub_provider()
    found = await open_nova(openai(stub)).embed(texts)
    assert [one.json["input"] for one in stub.chats] == [
        ["a", "b", "c"],
        ["d", "e" * 15],
        ["f" * 15],
        ["g" * 50],
        ["h"],
    ]
    assert found.vectors == tuple(tuple(vector_of(text)) for text in texts)
    assert {row.request for row in attempts()} == {found.request_id}
    assert (len(found.attempts), found.usage.prompt) == (5, 8)
    assert found.cost == Decimal(sum(row.cost for row in attempts())) / 10**9


async def test_batches_share_one_max_cost_and_one_timeout(
    monkeypatch: pytest.MonkeyPatch, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A batch that could exceed ``max_cost`` with the earlier ones is not sent; neither is one too late."""
    monkeypatch.setattr(text_requests, "MOST_TEXTS", 1)
    stub = stub_provider(Answer("", usage=Usage(prompt=33)))  # as much as is held for each
    nova = open_nova(openai(stub))
    with pytest.raises(BudgetExceeded, match="max_cost"):
        await nova.embed(["a", "b", "c"], max_cost=Decimal(2 * 33 * PRICE) / 10**9)
    assert len(attempts()) == 2
    stub.reply = Hang()
    with pytest.raises(ProviderTimeout):
        await nova.embed(["a", "b"], timeout=0.2)
    assert len(attempts()) == 3


@pytest.mark.parametrize("kind", ["memory", "disk", "redis"])
async def test_only_texts_that_are_not_cached_are_sent(
    kind: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Vectors are cached one by one; a call that the cache answers whole costs nothing and has a row."""
    stub = stub_provider()
    nova = open_nova(openai(stub), **settings_of(kind))
    fresh = [f"{text} {nova.config.database}" for text in TEXTS]  # a shared Redis has those of earlier runs
    await nova.embed(fresh[:2], user_id=7)
    mixed = await nova.embed(fresh, user_id=7)
    whole = await nova.embed(fresh, user_id=7)
    assert [one.json["input"] for one in stub.chats] == [fresh[:2], fresh[2:]]
    assert mixed.vectors == whole.vectors == tuple(tuple(vector_of(text)) for text in fresh)
    assert (mixed.cached, mixed.cost_basis, len(mixed.attempts)) == (2, "exact", 1)
    assert (whole.cached, whole.cost_basis, whole.cost, whole.attempts) == (3, "cached", Decimal(0), ())
    assert (whole.provider, whole.model, whole.dimensions) == ("openai", "text-embedding-3-small", 8)
    kept = next(row for row in attempts() if row.basis == "cached")
    assert (kept.request, kept.task, kept.cost, kept.held) == (whole.request_id, "embedding", 0, 0)
    for other in ({"user_id": 8}, {"user_id": 7, "dimensions": 4}, {"user_id": 7, "cache": False}):
        assert (await nova.embed(fresh[0], **other)).cached == 0  # type: ignore[arg-type]


async def test_vectors_in_the_cache_must_fit_the_new_ones(open_nova: Open, stub_provider: Stub) -> None:
    """If a server has another model under the same name since, old and new vectors are not mixed."""
    stub = stub_provider(script=[answer([0.5])])
    nova = open_nova(openai(stub), cache={"type": "memory"})
    await nova.embed("Profit rose.")
    with pytest.raises(UnreadableAnswer, match=r"different lengths: \[1, 8\]"):
        await nova.embed(TEXTS)
    assert (await nova.embed(TEXTS, cache=False)).dimensions == 8


async def test_a_budget_refuses_before_anything_is_sent(
    open_nova: Open, stub_provider: Stub, window: Any
) -> None:
    """A budget of the task ``embedding`` refuses what it cannot bear; other tasks have their own."""
    stub = stub_provider()
    budgets = [{"name": "vectors", "limit": "0.0000005", "per": "day", "task": "embedding"}]
    nova = open_nova(openai(stub), budgets=budgets)
    with pytest.raises(BudgetExceeded, match="vectors"):
        await nova.embed(TEXTS)
    assert stub.chats == []
    assert (await nova.embed(TEXTS, task="analysis")).dimensions == 8


async def test_an_unknown_price_is_refused(open_nova: Open, stub_provider: Stub) -> None:
    """A model without a known price is not asked where a budget applies; a price in YAML makes it known."""
    own = {"models": {"embedding": "my-vectors"}}
    with pytest.raises(PriceUnknown, match="openai/my-vectors"):
        await open_nova(openai(stub_provider(), **own)).embed(TEXTS)
    priced = own | {"prices": {"my-vectors": {"input": "1", "output": "0"}}}
    found = await open_nova(openai(stub_provider(), **priced)).embed(TEXTS)
    assert found.cost == Decimal(6) / 10**6


async def test_many_calls_never_overspend(open_nova: Open, stub_provider: Stub, window: Any) -> None:
    """Of fifty calls at once, those are sent that fit into the budget, and it is never exceeded."""
    worst = 33 * PRICE
    budgets = [{"name": "daily", "limit": str(Decimal(10 * worst) / 10**9), "per": "day"}]
    stub = stub_provider(Answer("", usage=Usage(prompt=33)))
    nova = open_nova(openai(stub), budgets=budgets, routing={"wait": 0})
    calls = (nova.embed(chr(97 + number % 26)) for number in range(50))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, BudgetExceeded)]
    assert (len(refused), len(stub.chats)) == (40, 10)
    spent: WindowRow = window()
    assert (spent.settled, spent.held, spent.lost) == (10 * worst, 0, 0)


async def test_a_cancelled_call_ends_its_hold(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A cancellation while the provider works marks the hold as lost: it may have been charged."""
    stub = stub_provider(Hang())
    nova = open_nova(openai(stub))
    running = asyncio.create_task(nova.embed(TEXTS))
    await asyncio.to_thread(stub.wait_for_requests, 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: attempts()[0].state != "held")
    (row,) = attempts()
    assert (row.state, row.cost) == ("lost", row.held)


async def test_nothing_is_stored_for_an_erased_user(
    monkeypatch: pytest.MonkeyPatch, open_nova: Open, stub_provider: Stub, path: Any
) -> None:
    """A user who is erased during a call gets no further batch, and no vector stays in the cache."""
    monkeypatch.setattr(text_requests, "MOST_TEXTS", 1)

    def erase(_: Received) -> str:
        with Store(path) as store:
            vault = clients.vault_of(store)
            privacy.erase_user(vault, "ann", folder=path.parent, now_ms=store.now_ms())
        return ""

    stub = stub_provider(erase)
    nova = open_nova(openai(stub), cache={"type": "disk"})
    with pytest.raises(UserErased):
        await nova.embed(TEXTS, user_id="ann")
    assert len(stub.chats) == 1
    with Store(path) as store:
        assert store.read(lambda database: AnswerRow.select().count(database)) == 0


@pytest.mark.parametrize("call", ["embed", "rerank"])
async def test_no_key_is_shown(
    call: str, open_nova: Open, stub_provider: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that repeats the key has it redacted, and LiteLLM and its caches never have it."""
    from supernova_ai.litellm_adapter.setup import litellm

    caplog.set_level(logging.DEBUG)
    stub = stub_provider(script=[Failure(401, "Key {key} is no good")])
    nova = open_nova(openai(stub) | cohere(stub))
    ask = nova.embed(TEXTS) if call == "embed" else nova.rerank("profit", TEXTS)
    with pytest.raises(AuthenticationFailed, match=r"Key \[redacted\]") as raised:
        await ask
    key = clients.key_of("openai" if call == "embed" else "cohere")
    assert stub.chats[0].key == key
    kept = repr(litellm.in_memory_llm_clients_cache.cache_dict) + repr(vars(nova._runtime.engine._router))
    assert key not in kept + caplog.text + repr(raised.value.__dict__)


async def test_rerank_orders_documents(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """Results come by score, at the price of the search units that the provider reports."""
    stub = stub_provider()
    nova = open_nova(cohere(stub))
    found = await nova.rerank("Profit of Acme", ["Weather.", "Acme made a profit.", "Acme."], user_id=7)
    assert found.results == (Ranked(1, 2 / 3 - 1 / 3), Ranked(0, 0.0), Ranked(2, 0.0))
    assert (found.provider, found.model, found.cached) == ("cohere", "rerank-v3.5", False)
    assert (found.cost, found.cost_basis) == (Decimal("0.002"), "exact")
    (row,) = attempts()
    assert (row.task, row.tier, row.held, row.cost) == ("rerank", "rerank", 2_000_000, 2_000_000)
    assert (await nova.rerank("Profit of Acme", TEXTS, top_n=1)).results[0].index in range(3)
    assert stub.chats[1].json["top_n"] == 1


async def test_rerank_without_search_units_costs_its_hold(open_nova: Open, stub_provider: Stub) -> None:
    """The hold covers long documents, which count as several; without a report it is the cost."""
    stub = stub_provider(Answer("", usage="missing"))
    found = await open_nova(cohere(stub)).rerank("profit", ["word " * 500] * 50)
    assert (found.cost, found.cost_basis) == (Decimal("0.006"), "bound")


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([(0, 0.5)], "it ranks 1 documents, of 3 different ones"),
        ([(0, 0.5), (0, 0.4), (1, 0.3)], "it ranks 3 documents, of 3 different ones"),
        ([(0, 0.5), (1, 0.4), (3, 0.3)], "it ranks a document 3, and there are 3"),
        ([(0, 0.5), (1, 0.4), (2, float("nan"))], "the score of document 2 is nan"),
    ],
)
async def test_wrong_rankings_are_refused_and_charged(
    results: list[tuple[int, float]], words: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A ranking with missing, repeated or unknown documents is an error that is charged."""
    listed = [{"index": index, "relevance_score": score} for index, score in results]
    body = {"id": "r", "results": listed, "meta": {"billed_units": {"search_units": 1}}}
    stub = stub_provider(Raw(200, "application/json", json.dumps(body)))
    with pytest.raises(UnreadableAnswer, match=words):
        await open_nova(cohere(stub)).rerank("profit", TEXTS)
    (row,) = attempts()
    assert (row.state, row.cost) == ("settled", 2_000_000)


async def test_the_same_ranking_comes_from_the_cache(open_nova: Open, stub_provider: Stub) -> None:
    """The same query and documents are answered again at no cost; another ``top_n`` is another request."""
    stub = stub_provider()
    nova = open_nova(cohere(stub), cache={"type": "memory"})
    first, second = await nova.rerank("profit", TEXTS), await nova.rerank("profit", TEXTS)
    assert (second.results, second.cached, second.cost) == (first.results, True, Decimal(0))
    assert not (await nova.rerank("profit", TEXTS, top_n=1)).cached
    assert len(stub.chats) == 2


async def test_voyage_charges_tokens_for_a_ranking(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A model with a price per token is bound by the query with each document, and settled at its report."""
    data = [{"index": place, "relevance_score": 0.5} for place in range(3)]
    body = {"object": "list", "data": data, "model": "rerank-2.5", "usage": {"total_tokens": 40}}
    stub = stub_provider(Raw(200, "application/json", json.dumps(body)))
    voyage = {"url": stub.url, "models": {"rerank": "rerank-2.5"}, "keys": ["primary"]}
    found = await open_nova({"voyage": voyage}).rerank("profit", TEXTS)
    (row,) = attempts()
    assert (found.usage.prompt, found.cost, row.cost) == (40, Decimal("0.000002"), 2000)
    assert row.held == sum(len(text) + len("profit") + 256 for text in TEXTS) * 50
    assert stub.chats[0].key == clients.key_of("voyage")


async def test_a_paid_probe_asks_for_a_vector_or_a_ranking(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A provider without a free endpoint and without a model for chats is probed by what it has."""
    stub = stub_provider()
    nova = open_nova(cohere(stub))
    (probe,) = await nova.probe(pay=True)
    (row,) = attempts()
    assert (probe.result, row.task, row.tier, stub.chats[0].path) == ("ok", "probe", "rerank", "/v2/rerank")


async def test_keys_go_to_the_providers_own_address(open_nova: Open) -> None:
    """The client of a provider whose address is not configured has the provider's usual one."""
    from supernova_ai.litellm_adapter.router import Router

    nova = open_nova({"openai": "http://127.0.0.1:1"})
    await nova.warm_up()
    router: Router = nova._runtime.engine._router
    router._connect["mistral"] = 1

    async def address() -> str:
        params = {"model": "mistral/mistral-embed", "api_key": "placeholder"}
        return str(router._client("embedding", "mistral", params).base_url)

    assert await nova._runtime.engine.run(address()) == "https://api.mistral.ai/v1/"


async def test_arguments_are_checked(open_nova: Open) -> None:
    """Each wrong argument is named before anything is opened or sent."""
    nova = open_nova({"openai": "http://127.0.0.1:1"})
    wrong: list[tuple[Any, str]] = [
        (nova.embed([]), "texts must have 1 to 2,048 texts, not 0"),
        (nova.embed(["a"] * 2049), "not 2,049"),
        (nova.embed(["a", ""]), r"texts\[1\] must be a text that is not empty"),
        (nova.embed({"a": 1}), "texts must be a list of texts"),  # type: ignore[arg-type]
        (nova.embed(["a" * 3_000_000] * 2), "texts have 6,000,000 characters in all"),
        (nova.embed("a", dimensions=0), "dimensions must be a whole number from 1"),
        (nova.embed("a", task="bills"), "task 'bills' is not configured"),
        (nova.embed("a", dimension=4), "no option 'dimension'. Did you mean 'dimensions'"),  # type: ignore[call-arg]
        (nova.rerank("", TEXTS), "query must be a text that is not empty"),
        (nova.rerank("a", "b"), "documents must be a list of texts"),
        (nova.rerank("a", TEXTS, top_n=0), "top_n must be a whole number from 1"),
        (nova.rerank("a", TEXTS, dimensions=4), "no option 'dimensions'"),  # type: ignore[call-arg]
    ]
    for call, words in wrong:
        with pytest.raises(SupernovaError, match=words):
            await call
