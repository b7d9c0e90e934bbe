"""Who is to blame for how an attempt ended."""

from __future__ import annotations

import pytest

from supernova_ai.config import Config
from supernova_ai.health import is_blamed


@pytest.mark.parametrize(
    "error",
    [
        "AuthenticationFailed",
        "RateLimited",
        "ProviderTimeout",
        "ProviderUnavailable",
        "ModelNotFound",
        "StreamInterrupted",
        "KeyCorrupt",
        "KeyNotFound",
        "MasterKeyError",
    ],
)
def test_what_counts_against_a_provider(error: str) -> None:
    """That it refused the key, asks for less, was slow, down, without the model, broke off, or has no key."""
    assert is_blamed(error)


@pytest.mark.parametrize(
    "error",
    [
        "RequestRejected",
        "ContextTooLong",
        "ContentRefused",
        "Cancelled",
        "Abandoned",
        "ProcessDied",
        "StoreError",
        "Unheard",
        None,
    ],
)
def test_what_does_not(error: str | None) -> None:
    """A wrong request, a caller who left, and trouble of our own."""
    assert not is_blamed(error)


def test_deployments_are_called_as_in_the_engine() -> None:
    """An id made of an attempt's columns is the id of the deployment that was asked."""
    from supernova_ai.routing import deployments  # imports LiteLLM, which takes seconds

    found = deployments.build(Config())
    assert {d.slot for d in found.values()} >= {"primary", None}
    assert all(name == d.identity.id == d.id for name, d in found.items())
