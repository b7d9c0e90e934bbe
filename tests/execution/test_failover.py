"""What follows a failed attempt: the next provider, the next key slot, or an error."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from supernova_ai import InvalidRequest, NoProvider, ProviderUnavailable, RequestRejected, Supernova
from supernova_ai.keys import Vault
from supernova_ai.routing import deployments
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, WindowRow
from supernova_ai.testing import Failure, Hang, Reset, Step, StubProvider, closed_port
from tests import clients
from tests.waiting import SENT_S

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PROVIDERS = ["openai", "anthropic", "ollama", "huggingface"]
TOXINS: list[Step] = [Failure(500), Failure(529), Failure(429), Failure(401), Failure(404), Reset()]
BOTH = {"keys": ["primary", "backup"]}

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


@pytest.mark.parametrize(
    ("provider", "toxin", "streaming"),
    # All toxins of all providers are in test_matrix.
    [*product(["openai"], TOXINS, [False, True]), *product(PROVIDERS[1:], TOXINS[:1], [False, True])],
)
async def test_next_provider_answers(
    provider: str,
    toxin: Step,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
    window: Callable[..., WindowRow],
) -> None:
    """If a provider fails the next one answers, and each request that is sent is one attempt."""
    bad, good = stub_provider(toxin), stub_provider("Diversify.")
    follower = "anthropic" if provider == "openai" else "openai"
    nova = open_nova({provider: bad.url, follower: good.url})
    reply = await nova.chat("What now?", streaming=streaming)
    first, second = attempts()
    assert (reply.content, reply.provider) == ("Diversify.", follower)
    assert [(a.provider, a.outcome) for a in reply.attempts] == [
        (provider, "lost" if toxin == Reset() else "released"),
        (follower, "settled"),
    ]
    assert (first.provider, second.provider) == (provider, follower)
    assert (len(bad.requests), len(good.requests)) == (1, 1)
    assert window().held == 0
    assert window().settled + window().lost == first.cost + second.cost == reply.cost * 10**9


@each_way
async def test_unreachable_and_silent_providers_fail_over(
    streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """A refused connection and a timeout take one attempt each, and the third provider answers."""
    silent, good = stub_provider(Hang()), stub_provider("Diversify.")
    with closed_port() as port:
        nova = open_nova(
            {
                "openai": f"http://127.0.0.1:{port}",
                "anthropic": {
                    "url": silent.url,
                    "timeout": {"total": SENT_S, "first_token": SENT_S},
                },
                "huggingface": good.url,
            }
        )
        reply = await nova.chat("What now?", streaming=streaming)
    assert reply.provider == "huggingface"
    assert [row.state for row in attempts()] == ["released", "lost", "settled"]


async def test_last_error_is_raised(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """If every provider fails, the last one's error is raised, with the id of the request's attempts."""
    first, second = stub_provider(Failure(401)), stub_provider(Failure(500))
    nova = open_nova({"openai": first.url, "anthropic": second.url})
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?")
    assert (raised.value.provider, raised.value.status) == ("anthropic", 500)
    assert [row.error for row in attempts()] == ["AuthenticationFailed", "ProviderUnavailable"]
    assert {row.request for row in attempts()} == {raised.value.request_id}


@each_way
async def test_malformed_request_is_not_tried_elsewhere(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """A request that one provider refuses as malformed is not sent to another provider."""
    bad, good = stub_provider(Failure(400)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url, "anthropic": good.url})
    with pytest.raises(RequestRejected):
        await nova.chat("What now?", streaming=streaming)
    assert (len(bad.requests), len(good.requests)) == (1, 0)


async def test_cheaper_tier_follows_when_one_is_down(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If every provider of the requested tier fails, a cheaper tier answers, and the reply names it."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova(
        {
            "openai": {"url": bad.url, "models": {"premium": "gpt-5"}},
            "anthropic": {"url": good.url, "models": {"economy": "claude-haiku-4-5"}},
        }
    )
    reply = await nova.chat("What now?", tier="premium")
    assert reply.tier == "economy"
    assert [row.tier for row in attempts()] == ["premium", "economy"]


@each_way
async def test_without_fallback_only_the_first_provider_is_asked(
    streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """With ``fallback: false`` neither another provider nor another tier is asked."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    models = {"standard": "gpt-4o-mini", "economy": "gpt-4o"}
    nova = open_nova(
        {"openai": {"url": bad.url, "models": models}, "anthropic": good.url}, routing={"fallback": False}
    )
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?", streaming=streaming)
    assert (len(bad.requests), len(good.requests)) == (1, 0)


HEADER = {"openai": "authorization", "anthropic": "x-api-key", "huggingface": "authorization"}


@pytest.mark.parametrize("provider", HEADER)
@each_way
async def test_backup_key_follows_a_refused_one(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    attempts: Rows,
) -> None:
    """After a refused primary key the backup key is used; each attempt sends its own key only."""
    stub = stub_provider("Diversify.", script=[Failure(401)])
    nova = open_nova({provider: {"url": stub.url, **BOTH}})
    reply = await nova.chat("What now?", streaming=streaming)
    assert reply.content == "Diversify."
    assert [(row.slot, row.state) for row in attempts()] == [("primary", "released"), ("backup", "settled")]
    primary, backup = clients.key_of(provider, "primary"), clients.key_of(provider, "backup")
    for request, own, other in zip(stub.requests, (primary, backup), (backup, primary), strict=True):
        assert request.headers[HEADER[provider]].removeprefix("Bearer ") == own
        assert other not in repr(request)


@pytest.mark.parametrize(
    "damage",
    ["sealed = zeroblob(200)", "sealed = 7", "version = 'second'", "version = x'ff'", "id = x'ff'"],
)
async def test_other_slots_work_when_one_record_is_corrupt(
    damage: str, open_nova: Open, stub_provider: Stub, path: Path, attempts: Rows
) -> None:
    """If the record of the primary key is corrupt, the backup slot answers this request and the next."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, **BOTH}})
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE api_key SET {damage} WHERE slot = 'primary'")
    connection.close()
    for _ in range(2):
        assert (await nova.chat("What now?")).content == "Diversify."
    spent = [row for row in attempts() if row.cost]
    assert [row.slot for row in spent] == ["backup", "backup"]
    assert {row.error for row in attempts() if not row.cost} == {"KeyCorrupt"}
    assert len(stub.requests) == 2


async def test_slot_without_a_key_is_skipped(open_nova: Open, stub_provider: Stub, attempts: Rows) -> None:
    """A key slot or a provider without a key is skipped without an attempt."""
    stub, good = stub_provider("Unused."), stub_provider("Diversify.")
    nova = open_nova(
        {"openai": stub.url, "anthropic": {"url": good.url, **BOTH}},
        without=("openai/primary", "anthropic/primary"),
    )
    await nova.chat("What now?")
    assert [(row.provider, row.slot) for row in attempts()] == [("anthropic", "backup")]
    assert stub.requests == []


async def test_no_key_at_all_says_how_to_add_one(
    open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """If no provider has a key, the error names the command that adds one, and no attempt is made."""
    url = stub_provider().url
    nova = open_nova({"openai": url, "anthropic": url}, without=("openai/primary", "anthropic/primary"))
    with pytest.raises(NoProvider, match=r"supernova keys add openai.*supernova keys add anthropic"):
        await nova.chat("What now?")
    assert attempts() == []


async def test_unreachable_ollama_does_not_hide_missing_keys(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no key is stored and the default ollama does not run, the error says once how to add a key."""
    url = stub_provider().url
    with closed_port() as port:
        here = f"http://localhost:{port}"
        monkeypatch.setitem(deployments._API_BASE, "ollama", here)
        models = {"standard": "m", "economy": "n"}
        nova = open_nova(
            {"openai": {"url": url, **BOTH}, "anthropic": url, "ollama": {"url": here, "models": models}},
            without=("openai/primary", "openai/backup", "anthropic/primary"),
        )
        with pytest.raises(NoProvider) as raised:
            await nova.chat("What now?")
    assert str(raised.value) == (
        "no provider that is asked has a key: run 'supernova keys add openai', or 'supernova keys add "
        "anthropic', or start ollama"
    )
    assert not hasattr(raised.value, "__notes__")


async def test_key_of_a_provider_outside_the_priority(open_nova: Open, stub_provider: Stub) -> None:
    """If only a provider outside ``routing.priority`` has a key, the error says to add it there."""
    url = stub_provider().url
    nova = open_nova(
        {"openai": url, "anthropic": url}, routing={"priority": ["openai"]}, without=("openai/primary",)
    )
    with pytest.raises(NoProvider, match=r"^anthropic has a key and is not asked: .*'routing.priority'"):
        await nova.chat("What now?")
    with pytest.raises(InvalidRequest, match=r"put 'anthropic' into 'routing.priority'"):
        await nova.chat("What now?", model="anthropic/claude-haiku-4-5")


async def test_each_failure_is_noted_once(open_nova: Open, stub_provider: Stub) -> None:
    """The last error is raised; its notes name each earlier failure and each skipped key slot once."""
    bad, worse = stub_provider(Failure(401)), stub_provider(Failure(500))
    nova = open_nova(
        {
            "openai": {"url": bad.url, "models": {"standard": "gpt-4o", "economy": "gpt-4o"}},
            "anthropic": worse.url,
            "huggingface": {"url": bad.url, "models": {"standard": "m", "economy": "m"}, "prices": {}}
            | {"price": "free"},
        },
        without=("huggingface/primary",),
        routing={"retries": 2, "degrade": ["standard"]},
    )
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?")
    before, unasked = raised.value.__notes__
    assert before.startswith("before that: openai failed")
    assert unasked == "not asked: no key for huggingface (primary): run 'supernova keys add huggingface'"


async def test_key_removed_meanwhile_is_not_used(
    open_nova: Open, stub_provider: Stub, path: Path, attempts: Rows
) -> None:
    """A key that is removed while the client is open is not sent again."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    await nova.chat("What now?")
    with Store(path) as store:
        Vault(store, clients.MASTER).remove("openai", "primary")
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    assert len(stub.requests) == len(attempts()) == 1


async def test_router_is_given_no_key(open_nova: Open, stub_provider: Stub) -> None:
    """Neither LiteLLM's Router nor its list of models holds a key after calls."""
    stub = stub_provider("Diversify.", script=[Failure(401)])
    nova = open_nova({"openai": {"url": stub.url, **BOTH}, "anthropic": stub.url})
    await nova.chat("What now?")
    router = nova._runtime.engine._router
    kept = repr(router.model_list) + repr(router.get_model_list()) + repr(vars(router))
    for provider in ("openai", "anthropic"):
        for slot in ("primary", "backup"):
            assert clients.key_of(provider, slot) not in kept


async def test_wait_for_a_cooldown_ignores_slots_without_a_key(open_nova: Open, stub_provider: Stub) -> None:
    """Without a backup key the request waits for the primary key's short cooldown."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova(
        {"openai": {"url": stub.url, **BOTH}},
        without=("openai/backup",),
        routing={"breaker": {"failures": 1, "cooldown": 0.2}, "wait": 30},
    )
    reply = await nova.chat("What now?")
    assert [attempt.key_slot for attempt in reply.attempts] == ["primary", "primary"]


async def test_wait_for_a_limit_ignores_slots_without_a_key(open_nova: Open, stub_provider: Stub) -> None:
    """Without a backup key requests wait for the primary key's ``parallel`` limit."""
    stub = stub_provider("Diversify.")
    nova = open_nova(
        {"openai": {"url": stub.url, "limits": {"parallel": 1}, **BOTH}},
        without=("openai/backup",),
        routing={"wait": 30},
    )
    replies = await asyncio.gather(*(nova.chat("What now?") for _ in range(3)))
    assert [reply.content for reply in replies] == ["Diversify."] * 3


async def test_deployments_in_cooldown_are_named(open_nova: Open, stub_provider: Stub) -> None:
    """If all are in cooldown the error names each with its last error and time left, not a missing key."""
    nova = open_nova(
        {"openai": {"url": stub_provider(Failure(500)).url, **BOTH}},
        without=("openai/backup",),
        routing={"breaker": {"failures": 1, "cooldown": 600}},
    )
    with pytest.raises(ProviderUnavailable) as raised:
        await nova.chat("What now?")
    assert not hasattr(raised.value, "__notes__")
    with pytest.raises(NoProvider, match=r"openai \(primary\) after ProviderUnavailable \(\d+ s more\)"):
        await nova.chat("What now?")
