"""A key that was refused and then corrected: its circuit closes at once."""

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
from tests import desk

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

GOOD = "sk-openaicorrected0123456789"
LONG = {"breaker": {"cooldown": 600}}


def only_the_good_key(request: Received) -> Any:
    return "Diversify." if request.headers["authorization"].endswith(GOOD) else Failure(401)


def add(path: Path, key: str) -> None:
    """Add a key as another process would."""
    with Store(path) as store:
        Vault(store, desk.MASTER).add("openai", "primary", Secret(key))


async def test_corrected_key_is_used_at_once(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """While the slot has the refused key its circuit stays open; with another one it closes."""
    stub = stub_provider(only_the_good_key)
    nova = open_nova({"openai": stub.url}, routing=LONG)
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What now?")
    with pytest.raises(NoProvider, match=r"in cooldown: openai \(primary\).*supernova keys add"):
        await nova.chat("What now?")
    other = Supernova(nova.config, master=desk.MASTER)
    try:
        # What one process learnt of its key is not held against another's: it may have a better one.
        with pytest.raises(AuthenticationFailed):
            await other.chat("What now?")
        assert len(stub.chats) == 2
        add(path, GOOD)
        for each in (nova, other):
            assert (await each.chat("What now?")).content == "Diversify."
            assert (
                each._runtime.engine.monitor.breaker.circuit(desk.deployment(each, "openai")).state
                == "closed"
            )
    finally:
        await asyncio.to_thread(other.close)


async def test_a_second_wrong_key_is_asked_once(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """Another wrong key is tried once as well, and then left alone."""
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


async def test_key_that_a_probe_saw_refused(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A probe opens the circuit for its key alone, too."""
    stub = stub_provider("Diversify.")
    stub.probe = Failure(401)
    nova = open_nova({"openai": stub.url}, routing=LONG)
    await nova.probe()
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    add(path, GOOD)
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_changed_variable(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that starts with a corrected variable is answered, whatever the one before was told."""
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
    """A reload to another model or address makes another deployment: its circuit is closed."""
    bad, good = stub_provider(Failure(404)), stub_provider("Diversify.")
    nova = open_nova({"openai": bad.url}, routing=LONG)
    with pytest.raises(ModelNotFound):
        await nova.chat("What now?")
    if change == "models":
        bad.reply = "Diversify."
        settings: dict[str, Any] = {"url": bad.url, "models": {"standard": "gpt-4o"}}
    else:
        settings = {"url": good.url}
    await nova.reload(desk.configure(path, {"openai": settings}, routing=LONG, without=("openai/primary",)))
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_no_look_at_the_vault_where_all_is_well(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a circuit that a refused key opened makes a request look for another key."""
    stub = stub_provider("Diversify.", script=[Failure(500)])
    nova = open_nova(
        {"openai": stub.url}, routing={"retries": 2, "breaker": {"failures": 1, "cooldown": 0.1}}
    )
    await nova.warm_up()

    async def never(*_: object) -> dict[str, str]:
        raise AssertionError("looked")

    monkeypatch.setattr(nova._runtime.engine._reservations, "key_ids", never)
    assert (await nova.chat("What now?")).content == "Diversify."
