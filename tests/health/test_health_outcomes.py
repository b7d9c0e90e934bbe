"""Which outcomes count against the provider."""

from __future__ import annotations

import pytest

from supernova_ai.config import Config
from supernova_ai.health import is_provider_fault


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
def test_provider_faults(error: str) -> None:
    """Provider errors and key errors count against the provider."""
    assert is_provider_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        "RequestRejected",
        "ContextTooLong",
        "ContentRefused",
        "Cancelled",
        "Abandoned",
        "Withdrawn",
        "ProcessDied",
        "StoreError",
        "NoProvider",
        "Unheard",
        None,
    ],
)
def test_no_provider_faults(error: str | None) -> None:
    """Rejected requests, cancelled calls and our own errors do not count against the provider."""
    assert not is_provider_fault(error)


def test_identity_gives_the_id_of_the_deployment() -> None:
    """The id built from an attempt's columns equals the id of its deployment."""
    from supernova_ai.routing import deployments  # imports LiteLLM, which takes seconds

    found = deployments.build(Config())
    assert {d.slot for d in found.values()} >= {"primary", None}
    assert all(name == d.identity.id == d.id for name, d in found.items())
