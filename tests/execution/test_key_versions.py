"""Versions of a key while a client is open: attempts take the active one, and send none that is revoked."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import AuthenticationFailed, KeyRevoked, NoProvider, Supernova
from supernova_ai.keys import KeySource, Vault, lifecycle
from supernova_ai.keys.records import SealedKey
from supernova_ai.keys.source import FRESH_S
from supernova_ai.operations import key_rotation
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Failure, Refusal, StubProvider
from supernova_ai.testing.answers import Received
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

BOTH = {"keys": ["primary", "backup"]}
NEXT = "sk-openainext0123456789"
PRIMARY, BACKUP = clients.key_of("openai"), clients.key_of("openai", "backup")


def rotate(nova: Supernova, path: Path, key: str = NEXT) -> None:
    """Rotate openai's primary key as another process would."""
    with Store(path) as store:
        vault = Vault(store, clients.MASTER)
        key_rotation.rotate(vault, nova.config, "openai", "primary", Secret(key), check=False)


async def test_the_next_attempt_takes_the_new_version(
    open_nova: Open, stub_provider: Stub, path: Path, attempts: Rows
) -> None:
    """A rotation elsewhere needs no restart, and each attempt's row has its version and environment."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url, "ollama": stub.url}, environment="staging")
    await nova.chat("What now?")
    rotate(nova, path)
    await nova.chat("What now?")
    await nova.chat("What now?", model="ollama/llama3.1")
    assert [request.key for request in stub.chats] == [PRIMARY, NEXT, "no-key"]
    assert [(row.key_version, row.environment) for row in attempts()] == [
        (1, "staging"),
        (2, "staging"),
        (None, "staging"),
    ]


async def test_the_last_use_is_noted(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """After a call the key's last use is in the store."""
    nova = open_nova({"openai": stub_provider("Diversify.").url})
    await nova.chat("What now?")
    with Store(path) as store:
        (key,) = Vault(store, clients.MASTER).list()
    assert key.used is not None
    assert abs((datetime.now(UTC) - key.used).total_seconds()) < 60


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    "refusal",
    [Failure(401), Failure(403), Failure(402, "Payment required"), Refusal("credit")],
    ids=["401", "403", "402", "insufficient_quota"],
)
async def test_the_backup_answers_within_the_request(
    refusal: Any, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """A primary key that is refused, or has no credit or quota left, is followed by the backup key."""
    stub = stub_provider(lambda request: refusal if request.key == PRIMARY else "Diversify.")
    nova = open_nova({"openai": {"url": stub.url, **BOTH}})
    reply = await nova.chat("What now?", streaming=streaming)
    assert reply.content == "Diversify."
    assert [(one.key_slot, one.outcome) for one in reply.attempts] == [
        ("primary", "released"),
        ("backup", "settled"),
    ]


async def test_an_expired_key_leaves_the_backup(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """An expired primary key is not sent; without a backup the error names the command that helps."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, **BOTH}})
    with Store(path) as store:
        vault = Vault(store, clients.MASTER)
        lifecycle.set_expiry(vault, "openai", "primary", datetime(2020, 1, 1, tzinfo=UTC))
        await nova.chat("What now?")
        vault.remove("openai", "backup")
    assert [request.key for request in stub.chats] == [BACKUP]
    with pytest.raises(NoProvider, match="supernova keys rotate openai"):
        await nova.chat("What now?")


async def test_a_circuit_closes_for_the_rotated_key(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A circuit that a refused key opened is closed at the first attempt after the rotation."""
    stub = stub_provider(lambda request: "Diversify." if request.key == NEXT else Failure(401))
    nova = open_nova({"openai": stub.url}, routing={"breaker": {"cooldown": 600}})
    with pytest.raises(AuthenticationFailed):
        await nova.chat("What now?")
    with pytest.raises(NoProvider):
        await nova.chat("What now?")
    rotate(nova, path)
    assert (await nova.chat("What now?")).content == "Diversify."


def revoking(
    monkeypatch: pytest.MonkeyPatch, nova: Supernova, *, late: bool, then: str | None = None
) -> None:
    """Let the first key that is opened be revoked before its request is sent.

    Args:
        late: more time has passed until then than a key may be old when it is sent.
        then: a key that is added at once.
    """
    opened = KeySource.open

    def open_and_revoke(self: KeySource, found: SealedKey | Secret) -> Secret:
        monkeypatch.undo()
        secret = opened(self, found)
        assert isinstance(found, SealedKey)
        provider, slot = found.binding.provider, found.binding.slot
        lifecycle.revoke(self._vault, provider, slot)
        if then:
            self._vault.add(provider, slot, Secret(then))
        if late:
            object.__setattr__(found, "read_s", time.monotonic() - FRESH_S - 1)
        return secret

    monkeypatch.setattr(KeySource, "open", open_and_revoke)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
async def test_a_revoked_key_is_not_sent(
    provider: str,
    streaming: bool,
    open_nova: Open,
    stub_provider: Stub,
    monkeypatch: pytest.MonkeyPatch,
    balance: Callable[[], tuple[int, int, int]],
) -> None:
    """An attempt that took the key before is not sent: it costs nothing, and the backup key answers."""
    stub = stub_provider("Diversify.")
    nova = open_nova({provider: {"url": stub.url, **BOTH}})
    await nova.warm_up()
    revoking(monkeypatch, nova, late=True)
    reply = await nova.chat("What now?", streaming=streaming)
    assert [request.key for request in stub.chats] == [clients.key_of(provider, "backup")]
    assert [(one.key_slot, one.outcome, one.error) for one in reply.attempts] == [
        ("primary", "released", "KeyRevoked"),
        ("backup", "settled", None),
    ]
    assert balance()[1:] == (0, 0)


async def test_the_key_that_replaces_a_revoked_one_is_sent(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one request, the key that was added to the slot follows the revoked one."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url}, routing={"retries": 1})
    await nova.warm_up()
    revoking(monkeypatch, nova, late=True, then=NEXT)
    assert (await nova.chat("What now?")).content == "Diversify."
    assert [request.key for request in stub.chats] == [NEXT]


async def test_a_revoked_key_is_named(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another key the error says what happened, and the circuit of the provider stays closed."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": stub.url})
    await nova.warm_up()
    revoking(monkeypatch, nova, late=True)
    with pytest.raises(KeyRevoked, match="the key of openai was revoked before the request was sent"):
        await nova.chat("What now?")
    circuit = nova._runtime.engine.monitor.breaker.circuit(clients.deployment(nova, "openai"))
    assert (circuit.state, stub.requests) == ("closed", [])


async def test_a_key_that_was_just_read_is_sent(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time for which ``revoke`` waits, the request is sent without another look."""
    stub = stub_provider("Diversify.")
    nova = open_nova({"openai": {"url": stub.url, **BOTH}})
    await nova.warm_up()
    revoking(monkeypatch, nova, late=False)
    await nova.chat("What now?")
    assert [request.key for request in stub.chats] == [PRIMARY]


async def test_a_probe_does_not_send_a_revoked_key(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that took the key before it was revoked fails instead of sending it."""
    stub = stub_provider()
    nova = open_nova({"openai": stub.url})
    await nova.warm_up()
    revoking(monkeypatch, nova, late=True)
    (probe,) = await nova.probe()
    assert probe.result == "ProviderUnavailable"
    assert stub.requests == []


async def test_a_call_under_way_ends_with_its_key(open_nova: Open, stub_provider: Stub, path: Path) -> None:
    """A key that is revoked while its request is answered does not interrupt the answer."""

    def revoke_meanwhile(_: Received) -> str:
        with Store(path) as store:
            key_rotation.revoke(Vault(store, clients.MASTER), "openai", "primary", wait=lambda _: None)
        return "Diversify."

    stub = stub_provider(revoke_meanwhile)
    nova = open_nova({"openai": {"url": stub.url, **BOTH}})
    assert (await nova.chat("What now?")).content == "Diversify."
    stub.reply = "Diversify."
    await nova.chat("What now?")
    assert [request.key for request in stub.chats] == [PRIMARY, BACKUP]
