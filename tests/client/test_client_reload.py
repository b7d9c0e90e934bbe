"""Reloads: the configuration changes while a client runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from threading import Event
from typing import Any

import pytest

from supernova_ai import BudgetExceeded, ConfigError, NoProvider, Supernova
from supernova_ai.config import Config
from supernova_ai.runtime import Runtime
from supernova_ai.testing import Answer, Failure, Hang, StubProvider
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


def changed(nova: Supernova, **settings: Any) -> Config:
    """Return the client's configuration with other settings."""
    plain = nova.config.model_dump() | {"database": nova.config.database}
    return Config.model_validate({**plain, **settings})


async def test_reload_changes_the_priority(open_nova: Open, stub_provider: Stub) -> None:
    """After a reload, the new priority decides which provider answers."""
    url = stub_provider("Diversify.").url
    nova = open_nova({"openai": url, "anthropic": url})
    assert (await nova.chat("What now?")).provider == "openai"
    routing = nova.config.routing.model_dump() | {"priority": ["anthropic", "openai"]}
    await nova.reload(changed(nova, routing=routing))
    assert (await nova.chat("What now?")).provider == "anthropic"


async def test_running_call_keeps_its_configuration(open_nova: Open, stub_provider: Stub) -> None:
    """A reload that removes a provider does not disturb its running stream."""
    gate = Event()
    leaving = stub_provider(Answer("Buy low and sell high.", gate=gate))
    nova = open_nova({"openai": leaving.url, "anthropic": stub_provider("Diversify.").url})
    async with nova.stream("What now?") as stream:
        assert await anext(stream) == "Buy"
        routing = nova.config.routing.model_dump() | {"priority": ["anthropic"]}
        await nova.reload(changed(nova, routing=routing))
        gate.set()
        rest = [token async for token in stream]
    assert "Buy" + "".join(rest) == "Buy low and sell high."
    assert stream.reply.provider == "openai"
    assert (await nova.chat("What now?")).provider == "anthropic"


async def test_a_retry_uses_the_new_configuration(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """Each attempt has the version of the configuration that chose it."""
    leaving = stub_provider(Hang())
    providers = {"openai": leaving.url, "anthropic": stub_provider("Diversify.").url}
    nova = open_nova(providers, routing={"retries": 1})
    before = nova.config_version
    asking = asyncio.create_task(nova.chat("What now?"))
    await asyncio.to_thread(leaving.wait_for_requests, 1)
    routing = nova.config.routing.model_dump() | {"priority": ["anthropic"]}
    await nova.reload(changed(nova, routing=routing))
    await asyncio.to_thread(leaving.close)
    assert (await asking).provider == "anthropic"
    assert [row.config_version for row in clients.attempts(path)] == [before, nova.config_version]
    assert before != nova.config_version


async def test_a_reload_while_the_client_opens_is_applied(
    open_nova: Open, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens with the configuration before; the reload waits for that, and then applies its own."""
    opening, reloading = Event(), Event()
    begin = Runtime.__init__

    def slow(self: Runtime, *given: Any, **named: Any) -> None:
        opening.set()
        assert reloading.wait(60)
        begin(self, *given, **named)

    monkeypatch.setattr(Runtime, "__init__", slow)
    nova = open_nova({"openai": stub.url})
    warming = asyncio.create_task(nova.warm_up())
    await asyncio.to_thread(opening.wait, 60)
    small = [{"name": "daily", "limit": "0.0000001", "per": "day"}]
    reload = asyncio.create_task(nova.reload(changed(nova, budgets=small)))
    await asyncio.sleep(0.1)
    reloading.set()
    await asyncio.gather(warming, reload)
    with pytest.raises(BudgetExceeded):
        await nova.chat("What now?")


async def test_reload_changes_the_budgets(open_nova: Open, stub_provider: Stub) -> None:
    """A lower limit applies from the next call on, and earlier spending counts."""
    nova = open_nova({"openai": stub_provider("Diversify.").url})
    await nova.chat("What now?")
    await nova.reload(changed(nova, budgets=[{"name": "daily", "limit": "0.0000001", "per": "day"}]))
    with pytest.raises(BudgetExceeded) as raised:
        await nova.chat("What now?")
    assert raised.value.spent > 0


async def test_switching_off_and_on(open_nova: Open, stub_provider: Stub) -> None:
    """A reload can switch calls off, and on again."""
    nova = open_nova({"openai": stub_provider("Diversify.").url})
    await nova.chat("What now?")
    await nova.reload(changed(nova, enabled=False))
    with pytest.raises(NoProvider, match="switched off"):
        await nova.chat("What now?")
    await nova.reload(changed(nova, enabled=True))
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_breakers_survive_a_reload(open_nova: Open, stub_provider: Stub) -> None:
    """A provider in cooldown stays in cooldown after a reload."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    routing = {"breaker": {"failures": 1, "cooldown": 600}}
    nova = open_nova({"openai": bad.url, "anthropic": good.url}, routing=routing)
    await nova.chat("What now?")
    await nova.reload(changed(nova, streaming=True))
    await nova.chat("What now?")
    assert (len(bad.chats), len(good.chats)) == (1, 2)


async def test_wrong_file_changes_nothing(tmp_path: Path, stub_provider: Stub) -> None:
    """A wrong file is refused with its problems, and the old configuration stays."""
    path = tmp_path / "supernova.yaml"
    models = "models: {standard: gpt-4o-mini}, keys: []"
    good = (
        f"database: {tmp_path / 'supernova.db'}\n"
        f"providers: {{openai: {{api_base: '{stub_provider('Diversify.').url}/v1', {models}}}}}\n"
        "routing: {priority: [openai]}\n"
    )
    path.write_text(good)
    async with Supernova(path) as nova:
        await nova.chat("What now?")
        path.write_text(good.replace("priority: [openai]", "priority: [opnai]"))
        with pytest.raises(ConfigError, match="openai"):
            await nova.reload()
        assert (await nova.chat("What now?")).content == "Diversify."
        path.write_text(good + "streaming: true\n")
        await nova.reload()
        assert nova.config.streaming


def in_force(nova: Supernova) -> dict[str, Any]:
    """Return the configuration of every part of the client."""
    runtime, engine = nova._runtime, nova._runtime.engine
    return {
        "config": nova.config,
        "limits": runtime.ledger._budgets[0],
        "alerts": (
            nova._runtime._delivery,
            nova._runtime.ledger._watch._thresholds,
            nova._runtime.ledger._watch._on_alert,
        ),
        "keys": runtime.keys.custom_endpoints,
        "deployments": engine._deployments,
        "breaker": engine.monitor.breaker.settings,
        "probes": engine.monitor.prober._deployments,
        "cache": (engine._cache._settings, engine._versions, engine._cache._models),
        "router": sorted(d["model_info"]["id"] for d in engine._router.get_model_list() or []),
        "routing": engine._reservations._routing,
    }


@pytest.mark.parametrize(
    "part",
    [
        "supernova_ai.litellm_adapter.router.Router.set_model_list",
        "supernova_ai.execution.engine.Selector.__init__",
        "supernova_ai.execution.engine.Reservations.__init__",
        "supernova_ai.execution.monitor.Monitor.apply",
        "supernova_ai.execution.engine.fleet.build",
        "supernova_ai.alerts.delivery.AlertDelivery.__init__",
    ],
)
async def test_refused_reload_changes_no_part(
    part: str, open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If any part refuses the new configuration, every part keeps the old one."""
    old, new = stub_provider("Diversify."), stub_provider("Hold.")
    nova = open_nova({"openai": old.url, "anthropic": old.url}, cache={"type": "memory"})
    await nova.chat("What now?")
    before = in_force(nova)
    plain = nova.config.model_dump()
    plain["providers"]["anthropic"]["api_base"] = new.url
    plain["providers"]["openai"]["enabled"] = False
    plain["routing"]["breaker"] = {"failures": 1, "cooldown": 600}
    owner_name, _, name = part.rpartition(".")
    owner = resolve_name(owner_name)
    real = getattr(owner, name)

    def refuse(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(owner, name, real)
        raise ValueError("not this one")

    monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(ValueError, match="not this one"):
        await nova.reload(
            changed(
                nova,
                **plain
                | {
                    "database": nova.config.database,
                    "budgets": [{"name": "daily", "limit": "0.0000001", "per": "day"}],
                    "alerts": {"thresholds": [7], "notify": ["json://localhost:9"]},
                    "cache": {"type": "memory", "ttl": 7},
                },
            )
        )
    assert in_force(nova) == before
    reply = await nova.chat("And now?")
    assert (reply.content, reply.provider, new.requests) == ("Diversify.", "openai", [])


async def test_database_is_fixed(open_nova: Open, stub_provider: Stub, tmp_path: Path) -> None:
    """A reload cannot change the database; the error names the setting."""
    nova = open_nova({"openai": stub_provider("Diversify.").url})
    with pytest.raises(ConfigError, match="database cannot change while a client runs"):
        await nova.reload(changed(nova, database=str(tmp_path / "other.db")))


async def test_reloads_leave_nothing_behind(open_nova: Open, stub_provider: Stub) -> None:
    """Many reloads during calls leave no callback in LiteLLM, and no call fails."""
    from supernova_ai.litellm_adapter.setup import litellm

    def callbacks() -> int:
        return sum(len(known) for known in (litellm.callbacks, litellm.success_callback))

    nova = open_nova({"openai": stub_provider("Diversify.").url})
    await nova.chat("What now?")
    before = callbacks()

    async def talk() -> None:
        for _ in range(10):
            await nova.chat("What now?")

    talks = [asyncio.create_task(talk()) for _ in range(4)]
    for turn in range(30):
        await nova.reload(changed(nova, streaming=bool(turn % 2)))
    await asyncio.gather(*talks)
    assert callbacks() == before


async def test_reload_before_the_first_call(open_nova: Open, stub_provider: Stub) -> None:
    """A reload also works before the first call."""
    bad, good = stub_provider(Failure(500)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url})
    providers = nova.config.model_dump()["providers"]
    providers["openai"]["api_base"] = f"{good.url}/v1"
    await nova.reload(changed(nova, providers=providers))
    assert (await nova.chat("What now?")).content == "Diversify."
    assert bad.requests == []


async def test_custom_endpoint_accepts_any_key(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that gets an ``api_base`` by a reload may have a key of any format."""
    monkeypatch.setenv("OPENAI_API_KEY", "of-another-shape")
    nova = open_nova({"anthropic": stub_provider("Diversify.").url})
    await nova.chat("What now?")
    providers = nova.config.model_dump()["providers"]
    models = {"standard": "gpt-4o-mini"}
    providers["openai"] = {"api_base": f"{stub_provider('Hold.').url}/v1", "models": models}
    routing = nova.config.routing.model_dump() | {"priority": ["openai"]}
    await nova.reload(changed(nova, providers=providers, routing=routing))
    assert (await nova.chat("What now?")).content == "Hold."
