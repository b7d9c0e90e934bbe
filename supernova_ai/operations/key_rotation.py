"""Rotation of a provider's key: the new one is checked and takes over while the old one still serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from supernova_ai.config import Config
from supernova_ai.errors import ProviderError
from supernova_ai.keys import KeyInfo, Vault, lifecycle
from supernova_ai.keys.source import FRESH_S
from supernova_ai.secret import Secret

GRACE_S = 600
"""How long the version before stays valid unless another time is given, in seconds."""

SETTLE_S = FRESH_S + 1
"""How long ``revoke`` waits, in seconds: until then every request with the key is sent, or refused."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that is done: the new version, the one that retires if there was one, and for how long."""

    active: KeyInfo
    retiring: KeyInfo | None
    grace_s: int


def least_grace_s(config: Config) -> int:
    """Return the longest time that one of our calls may take, in seconds."""
    totals = (provider.timeout.total for provider in config.providers.values())
    return ceil(max(config.routing.deadline, *totals))


def can_be_checked(config: Config, provider: str) -> bool:
    """Return whether the provider has a free endpoint that checks a key."""
    from supernova_ai.execution.probes import has_free_probe  # it imports LiteLLM, which takes seconds

    return provider in config.providers and has_free_probe(config.type_of(provider))


def check_key(config: Config, provider: str, secret: Secret) -> ProviderError | None:
    """Check a key with a free request; return why it is not valid, or could not be checked. Not in a loop."""
    from supernova_ai.execution.probes import probe_key

    try:
        asyncio.run(probe_key(config, provider, secret))
    except ProviderError as error:
        return error
    return None


def rotate(
    vault: Vault,
    config: Config,
    provider: str,
    slot: str,
    secret: Secret,
    *,
    grace_s: int = GRACE_S,
    check: bool = True,
) -> Rotation:
    """Replace the key of a slot without an interruption.

    Args:
        secret: the new key.
        grace_s: seconds for which the version before may still be sent; at least ``least_grace_s``.
        check: send a free request with the new key first; the provider must have an endpoint for that.

    Raises:
        ProviderError: the new key is not valid, or could not be checked; the key before stays in use.
        InvalidRequest: a name is not valid, or the slot has this very key already.
        KeyFormatError: the text cannot be a key of that provider.
        KeyNotFound: another rotation of the slot came in between.
        MasterKeyError: there is no master key, or it is not this store's.
    """
    any_format = provider in config.custom_endpoints
    started = lifecycle.start_rotation(vault, provider, slot, secret, any_format=any_format)
    if check and (failure := check_key(config, provider, secret)):
        lifecycle.fail_rotation(vault, started, str(failure))
        raise type(failure)(
            f"{started.place} was not rotated: {failure}. The slot stays as it was. Try again, with "
            f"--no-check if you know that the new key is valid",
            provider=provider,
        )
    grace_s = max(grace_s, least_grace_s(config))
    result = "ok" if check else None
    retiring = lifecycle.activate(vault, started, grace_ms=grace_s * 1000, check_result=result)
    return Rotation(started, retiring, grace_s)


def revoke(
    vault: Vault,
    provider: str,
    slot: str,
    *,
    version: int | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> list[KeyInfo]:
    """Revoke keys in an emergency: when this returns, no process sends a request with them any more.

    An attempt reads its key in the transaction of its hold. If that was more than ``FRESH_S`` ago when it has
    a connection, it reads the version's state again. So a request with the key is sent at most ``FRESH_S``
    after the version was revoked, and this waits a second longer. What was sent before cannot be recalled.

    Args:
        version: only this one; None revokes all versions of the slot.
        wait: waits so many seconds.

    Raises:
        KeyNotFound: there is none to revoke.
        MasterKeyError: there is no master key to sign the audit with, or it is not this store's.
    """
    revoked = lifecycle.revoke(vault, provider, slot, version=version)
    wait(SETTLE_S)
    return revoked


def revoke_expired(vault: Vault) -> int:
    """Revoke and wipe the retiring versions whose grace is over; return how many there were.

    Every audited change does this too. Until then nothing sends them, because their time is checked.

    Raises:
        MasterKeyError: there is no master key to sign the audit with, or it is not this store's.
    """
    now_ms = vault.now_ms()
    over = sum(key.is_over(now_ms) for key in vault.list())
    if over:
        vault.audited(lambda *_: None)
    return over
