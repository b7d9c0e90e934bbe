"""Probes: which endpoint they call, what they report, and how they change a circuit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from supernova_ai import ProviderUnavailable, Supernova, health
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Failure, Hang, StubProvider, closed_port
from tests import clients
from tests.waiting import until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PATHS = {
    "openai": "/v1/models",
    "anthropic": "/v1/models",
    "ollama": "/api/tags",
    "huggingface": "/api/whoami-v2",
}


@pytest.mark.parametrize("provider", PATHS)
async def test_free_probe_calls_the_free_endpoint(
    provider: str, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A free probe calls the provider's free endpoint with its key, and makes no attempt."""
    stub = stub_provider()
    nova = open_nova({provider: stub.url})
    (probe,) = await nova.probe()
    assert (probe.provider, probe.result) == (provider, "ok")
    (request,) = stub.requests
    assert (request.method, request.path) == ("GET", PATHS[provider])
    assert request.key == ("" if provider == "ollama" else clients.key_of(provider))
    assert attempts() == []


async def test_each_key_is_checked_once(open_nova: Open, stub_provider: Stub) -> None:
    """A provider with two key slots in three tiers is probed twice: once with each key."""
    stub = stub_provider()
    models = dict.fromkeys(["economy", "standard", "premium"], "gpt-4o-mini")
    nova = open_nova({"openai": {"url": stub.url, "models": models, "keys": ["primary", "backup"]}})
    assert {probe.key_slot for probe in await nova.probe()} == {"primary", "backup"}
    assert {request.key for request in stub.requests} == {
        clients.key_of("openai"),
        clients.key_of("openai", "backup"),
    }


async def test_refused_key_opens_the_circuit(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A key that is refused in a probe opens the circuit, which the requests and the store show."""
    stub = stub_provider("Diversify.")
    stub.probe = Failure(401)
    nova = open_nova({"openai": stub.url, "anthropic": stub_provider("Anyway.").url})
    found = {probe.provider: probe.result for probe in await nova.probe()}
    assert found == {"openai": "AuthenticationFailed", "anthropic": "ok"}
    assert (await nova.chat("What now?")).provider == "anthropic"
    nova.close()
    with Store(path) as store:
        rows = store.read(lambda database: health.deployments(database, now_ms=int(store.now() * 1000)))
    known = {row.provider: (row.state, row.probe) for row in rows}
    assert known == {"openai": ("open", "AuthenticationFailed"), "anthropic": ("closed", "ok")}


@pytest.mark.parametrize(
    "refusal",
    [
        Failure(403),
        Failure(401, message="You have insufficient permissions. Missing scopes: api.model.read."),
    ],
)
async def test_a_key_that_may_only_chat_stays_in_service(
    refusal: Failure, open_nova: Open, stub_provider: Stub
) -> None:
    """A key that may not list models fails its probe, but its circuit stays closed."""
    stub = stub_provider("Diversify.")
    stub.probe = refusal
    nova = open_nova({"openai": stub.url})
    assert [probe.result for probe in await nova.probe()] == ["ProviderUnavailable"]
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_failed_probes_name_the_error(open_nova: Open, stub_provider: Stub) -> None:
    """A probe that fails reports the name of the error class."""
    broken = stub_provider()
    broken.probe = Failure(503)
    with closed_port() as port:
        nova = open_nova(
            {
                "openai": f"http://127.0.0.1:{port}",
                "anthropic": broken.url,
                "huggingface": stub_provider().url,
            },
            without=("huggingface/primary",),
        )
        found = {probe.provider: probe.result for probe in await nova.probe()}
    assert found == {
        "openai": "ProviderUnavailable",
        "anthropic": "ProviderUnavailable",
        "huggingface": "KeyNotFound",
    }


async def test_successful_probe_half_opens_the_circuit(open_nova: Open, stub_provider: Stub) -> None:
    """After a successful probe the next request tests a provider that is in a long cooldown."""
    stub = stub_provider("Back again.", script=[Failure(500)])
    nova = open_nova({"openai": stub.url}, routing={"breaker": {"failures": 1, "cooldown": 600}})
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    await nova.probe()
    assert (await nova.chat("What now?")).content == "Back again."


async def test_successful_probe_does_not_end_a_rate_limit(open_nova: Open, stub_provider: Stub) -> None:
    """A successful probe does not shorten the cooldown of a rate limit, which applies to completions."""
    limited, other = (
        stub_provider("Too soon.", script=[Failure(429, headers={"retry-after": "600"})]),
        stub_provider("Diversify."),
    )
    nova = open_nova({"openai": limited.url, "anthropic": other.url})
    await nova.chat("What now?")
    await nova.probe()
    assert (await nova.chat("What now?")).provider == "anthropic"
    assert len(limited.chats) == 1


async def test_provider_in_cooldown_is_probed_on_schedule(open_nova: Open, stub_provider: Stub) -> None:
    """The client probes providers in cooldown on schedule, and none that answered recently."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova(
        {"openai": bad.url, "anthropic": good.url},
        routing={"breaker": {"failures": 1, "cooldown": 600}},
        health={"every": 0.05},
    )
    await nova.chat("What now?")
    await until(lambda: any(request.method == "GET" for request in bad.requests))
    assert all(request.method == "POST" for request in good.requests)


async def test_an_idle_key_is_probed_once_for_all_its_models(open_nova: Open, stub_provider: Stub) -> None:
    """A key whose models are all idle is probed once, and then they are no longer idle."""
    stub = stub_provider()
    models = dict.fromkeys(["economy", "standard", "premium"], "gpt-4o-mini")
    nova = open_nova({"openai": {"url": stub.url, "models": models}}, health={"every": 0.05, "idle": 600})
    await nova.warm_up()
    monitor = nova._runtime.engine.monitor
    begun = monitor.stats.clock()
    monitor.stats.clock = lambda: begun + 601
    await until(lambda: stub.requests and not monitor.prober._due())
    assert len(stub.requests) == 1


async def test_paid_probe_if_none_is_free(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """With ``pay=True`` a provider without a free probe is asked for one token, as a normal attempt."""
    stub = stub_provider("Yes.")
    prices = {"mistral-small": {"input": "1", "output": "1"}}
    mistral = {"url": f"{stub.url}/v1", "models": {"standard": "mistral-small"}, "keys": [], "prices": prices}
    nova = open_nova({"mistral": mistral})
    assert await nova.probe() == []
    assert [probe.result for probe in await nova.probe(pay=True)] == ["ok"]
    (row,) = attempts()
    assert (row.task, row.max_tokens, row.state) == ("probe", 1, "settled")


async def test_paid_probe_uses_each_key_and_closes_circuits(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A paid probe uses each slot's key, even in cooldown, and its answer closes the circuit."""
    stub = stub_provider("Yes.", script=[Failure(500), Failure(500)])
    prices = {"mistral-small": {"input": "1", "output": "1"}}
    slots = {"keys": ["primary", "backup"], "models": {"standard": "mistral-small"}, "prices": prices}
    nova = open_nova({"mistral": {"url": f"{stub.url}/v1", **slots}}, routing={"breaker": {"failures": 1}})
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    assert [(probe.key_slot, probe.result) for probe in await nova.probe(pay=True)] == [
        ("primary", "ok"),
        ("backup", "ok"),
    ]
    assert {row.slot for row in attempts() if row.task == "probe"} == {"backup", "primary"}
    assert (await nova.chat("What now?")).attempts[0].key_slot == "primary"


async def test_unexpected_error_is_a_failed_probe(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is a failed probe; its message, which may contain a key, is not reported."""

    def fail(*_: object, **__: object) -> None:
        raise UnicodeEncodeError("ascii", "the key", 0, 1, "no such letter")

    monkeypatch.setattr(httpx.AsyncClient, "get", fail)
    nova = open_nova({"openai": stub_provider().url})
    assert [probe.result for probe in await nova.probe()] == ["ProviderUnavailable"]


async def test_paid_probes_have_a_budget_of_their_own(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Paid probes have a daily limit of their own: above it none is sent, and requests still are."""
    stub = stub_provider("Yes.")
    prices = {"mistral-small": {"input": "1", "output": "1"}}
    mistral = {"url": f"{stub.url}/v1", "models": {"standard": "mistral-small"}, "keys": [], "prices": prices}
    nova = open_nova({"mistral": mistral}, health={"probes": "paid", "paid_limit": "0.0000001"})
    assert [probe.result for probe in await nova.probe(pay=True)] == ["BudgetExceeded"]
    assert stub.requests == []
    assert (await nova.chat("What now?")).content == "Yes."


async def test_hanging_probe_times_out(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that is never answered ends with ProviderTimeout."""
    monkeypatch.setattr("supernova_ai.execution.probes._TIMEOUT_S", 0.2)
    stub = stub_provider()
    stub.probe = Hang()
    nova = open_nova({"openai": stub.url})
    assert [probe.result for probe in await nova.probe()] == ["ProviderTimeout"]
