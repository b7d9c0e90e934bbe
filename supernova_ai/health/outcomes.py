"""The deployment of an attempt, and whether its outcome counts against the provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from supernova_ai.errors import ProviderError, RequestRejected, VaultError

NO_SLOT = "no-key"
"""In a deployment's id, the slot of a provider that takes no key."""


class DeploymentIdentity(NamedTuple):
    """The values that identify a deployment.

    ``slot`` is None if the provider takes no key, ``address`` if it is the provider's default.
    """

    tier: str
    provider: str
    model: str
    slot: str | None = None
    address: str | None = None

    @property
    def id(self) -> str:
        """The name under which the deployment's health is stored. Do not parse it.

        >>> DeploymentIdentity("standard", "openai", "gpt-4o", "primary", "https://eu.example/v1").id
        'standard/openai/gpt-4o/primary@https://eu.example/v1'
        """
        name = "/".join([self.tier, self.provider, self.model, self.slot or NO_SLOT])
        return name if self.address is None else f"{name}@{self.address}"


def _names(kind: type[Exception]) -> Iterator[str]:
    yield kind.__name__
    for subclass in kind.__subclasses__():
        yield from _names(subclass)


PROVIDER_FAULTS = frozenset((*_names(ProviderError), *_names(VaultError))) - frozenset(
    _names(RequestRejected)
)
"""The error classes that count against a provider: its own errors, and keys that cannot be decrypted.

Rejected requests, cancelled calls and processes that died do not count.
"""


def is_provider_fault(error: str | None) -> bool:
    """Return whether an attempt that ended with this error class counts against the provider.

    >>> [is_provider_fault(error) for error in ("ProviderTimeout", "ContextTooLong", "Abandoned", None)]
    [True, False, False, False]
    """
    return error in PROVIDER_FAULTS


def is_answered(state: str, error: str | None) -> bool:
    """Return whether the attempt gave a complete answer."""
    return state == "settled" and error is None
