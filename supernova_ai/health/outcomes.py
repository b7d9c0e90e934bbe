"""Whose attempt it was, and whether how it ended counts against the provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from supernova_ai.errors import ProviderError, RequestRejected, VaultError

NO_KEY = "no-key"
"""Stands for the slot where a provider takes no key."""


class DeploymentIdentity(NamedTuple):
    """What makes a deployment itself: with another model, address or key slot it is another one.

    ``slot`` is None where the provider takes no key, ``address`` where it is asked at its usual one.
    """

    tier: str
    provider: str
    model: str
    slot: str | None = None
    address: str | None = None

    @property
    def id(self) -> str:
        """The name under which everything learnt of the deployment is kept. Never take it apart again.

        >>> DeploymentIdentity("standard", "openai", "gpt-4o", "primary", "https://eu.example/v1").id
        'standard/openai/gpt-4o/primary@https://eu.example/v1'
        """
        name = "/".join([self.tier, self.provider, self.model, self.slot or NO_KEY])
        return name if self.address is None else f"{name}@{self.address}"


def _names(kind: type[Exception]) -> Iterator[str]:
    yield kind.__name__
    for narrower in kind.__subclasses__():
        yield from _names(narrower)


BLAMED = frozenset((*_names(ProviderError), *_names(VaultError))) - frozenset(_names(RequestRejected))
"""The error classes that count against a provider: its own, and those of a key that does not open.

Not those of a request that no provider would answer, of a caller who left, or of a process that died.
"""


def is_blamed(error: str | None) -> bool:
    """Say whether an attempt that ended with this error class counts against the provider.

    >>> is_blamed("ProviderTimeout"), is_blamed("ContextTooLong"), is_blamed("Abandoned"), is_blamed(None)
    (True, False, False, False)
    """
    return error in BLAMED


def is_answered(state: str, error: str | None) -> bool:
    """Say whether the attempt gave a whole answer."""
    return state == "settled" and error is None
