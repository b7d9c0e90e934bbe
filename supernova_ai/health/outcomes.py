"""Whose attempt it was, and whether how it ended counts against the provider."""

from __future__ import annotations

from collections.abc import Iterator

from supernova_ai.errors import ProviderError, RequestRejected, VaultError

NO_KEY = "no-key"
"""Stands for the slot where a provider takes no key."""


def deployment_id(tier: str, provider: str, slot: str | None) -> str:
    """Return the id of a deployment, as the engine knows it.

    >>> deployment_id("standard", "ollama", None)
    'standard/ollama/no-key'
    """
    return "/".join([tier, provider, slot or NO_KEY])


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
