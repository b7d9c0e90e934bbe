"""A refused key that is then corrected: its circuit closes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import AuthenticationFailed, ModelNotFound, NoProvider, Supernova
from supernova_ai.keys import Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.testing import Failure, StubProvider
from supernova_ai.testing.answers import Received
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

GOOD = "sk-openaicorrected0123456789"
LONG = {"breaker": {"cooldown": 600}}


def only_the_good_key(request: Received) -> Any:
    return "Diversify." if request.headers["authorization"].endswith(GOOD) else Failure(401)


def add(path: Path, key: str) -> None:
    """Add a key as another process would."""
    with Store(path) as store:
        Vault(store, clients.MASTER).add("openai", "primary", Secret(key))


async def test_corrected_key_is_used_at_once(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """The circuit stays open while the slot has the refused key, and closes when it has another."""
    stub = stub_provider(only_the_good_key)
    nova = open_nova({"openai": stub.url}, routing=LONG)
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What now?")
    with pytest.raises(NoProvider, match=r"in cooldown: openai \(primary\).*supernova keys add"):
        await nova.chat("What now?")
    other = Supernova(nova.config, master=clients.MASTER)
    try:
        # A key that one client found refused does not open another client's circuit: its key may be valid.
        with pytest.raises(AuthenticationFailed):
            await other.chat("What now?")
        assert len(stub.chats) == 2
        add(path, GOOD)
        for each in (nova, other):
            assert (await each.chat("What now?")).content == "Diversify."
            assert (
                each._runtime.engine.monitor.breaker.circuit(clients.deployment(each, "openai")).state
                == "closed"
            )
    finally:
        await asyncio.to_thread(other.close)


async def test_second_wrong_key_is_tried_once(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A second wrong key is tried once too, and then its circuit is open."""
    stub = stub_provider(only_the_good_key)
    nova = open_nova({"openai": stub.url}, routing=LONG)
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What now?")
    add(path, "sk-openaistillwrong0123456789")
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What now?")
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    assert len(stub.chats) == 2


async def test_key_refused_by_a_probe(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A circuit that a probe opened for a refused key closes when the key is corrected."""
    stub = stub_provider("Diversify.")
    stub.probe = Failure(401)
    nova = open_nova({"openai": stub.url}, routing=LONG)
    await nova.probe()
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    add(path, GOOD)
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_corrected_variable(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that starts with a corrected environment variable does not inherit the open circuit."""
    stub = stub_provider(only_the_good_key)
    without = ("openai/primary",)
    for key in ("sk-openaiwrong0123456789", GOOD):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        nova = open_nova({"openai": stub.url}, routing=LONG, without=without)
        if key == GOOD:
            assert (await nova.chat("What now?")).content == "Diversify."
        else:
            with pytest.raises(AuthenticationFailed):
                await nova.chat("What now?")
        await asyncio.to_thread(nova.close)


@pytest.mark.parametrize("change", ["models", "api_base"])
async def test_changed_model_or_address(
    change: str, open_nova: Open, stub_provider: Stub, path: Path
) -> None:
    """A reload to another model or address makes another deployment, whose circuit is closed."""
    bad, good = stub_provider(Failure(404)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url}, routing=LONG)
    with pytest.raises(ModelNotFound):
        await nova.chat("What now?")
    if change == "models":
        bad.reply = "Diversify."
        settings: dict[str, Any] = {"url": bad.url, "models": {"standard": "gpt-4o"}}
    else:
        settings = {"url": good.url}
    await nova.reload(
        clients.configure(path, {"openai": settings}, routing=LONG, without=("openai/primary",))
    )
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_vault_is_read_only_after_a_refused_key(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request looks for another key only if a refused key opened the circuit."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova(
        {"openai": stub.url}, routing={"retries": 2, "breaker": {"failures": 1, "cooldown": 0.1}}
    )
    await nova.warm_up()

    async def never(*_: object) -> dict[str, str]:
        raise AssertionError("looked")

    monkeypatch.setattr(nova._runtime.engine._reservations, "key_ids", never)
    assert (await nova.chat("What now?")).content == "Diversify."
