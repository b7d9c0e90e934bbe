"""Every error this package raises on purpose. Catch ``SupernovaError`` for all of them.

SupernovaError
├── ConfigError                 the YAML, .env or arguments are wrong
├── InvalidRequest              the call's own arguments are wrong (also a ValueError)
│   └── UnknownOption           … because there is no option of that name (also a TypeError)
├── StoreError                  the database cannot be opened, read or written
│   └── SchemaTooNew            … because a newer version of this package wrote it
├── VaultError                  something about keys
│   ├── MasterKeyError          the master key is missing, wrong or unsafe
│   ├── KeyFormatError          the text given is not a key of that provider
│   ├── KeyNotFound             the provider and slot hold no key
│   └── KeyCorrupt              the record was altered, or moved from its place
├── BudgetExceeded              a budget cannot bear this request
├── PriceUnknown                no price is known while a budget applies
├── UserErased                  the user was erased while the call was running
├── NoProvider                  no deployment can be tried: none configured, keyed or healthy
├── ExtraMissing                an optional part of this package is not installed
├── UnsupportedLoop             the caller's event loop is not asyncio, or is patched
└── ProviderError               a provider was asked and failed
    ├── AuthenticationFailed    it refused the key
    ├── AccountRefused          it refused the account: no credit, over its quota, not verified
    ├── RateLimited             it asks for fewer requests
    ├── ProviderTimeout         it did not answer in time
    ├── ProviderUnavailable     it could not be reached, or answered 5xx
    ├── ModelNotFound           it does not know the model
    ├── RequestRejected         it refused the request as malformed
    │   ├── ParameterRefused    … because the model does not take a parameter of it
    │   ├── ContextTooLong      … because the prompt is too long for the model
    │   └── ContentRefused      … because of its content policy
    ├── NoAnswer                it answered with nothing: empty, or only thoughts
    │   └── UnreadableAnswer    … in a shape that nobody here can read
    └── StreamInterrupted       the stream broke after its first token
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from supernova_ai.money import show


class SupernovaError(Exception):
    """The root of every error this package raises on purpose. It can be pickled and copied.

    ``request_id`` finds what was tried in the ledger; None where nothing could have been.
    """

    request_id: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited way calls the constructor with the message alone, and some of ours take more.
        return _restore, (type(self), self.args), vars(self)


def _restore(kind: type[SupernovaError], arguments: tuple[object, ...]) -> SupernovaError:
    return kind.__new__(kind, *arguments)


class ConfigError(SupernovaError):
    """The configuration cannot be used; the message names file, line, field, value and remedy."""


class InvalidRequest(SupernovaError, ValueError):
    """An argument of the call is wrong; nothing was sent and nothing was spent."""


class UnknownOption(InvalidRequest, TypeError):
    """The function that was called has no option of that name."""


class StoreError(SupernovaError):
    """The database cannot be opened, read or written."""


class SchemaTooNew(StoreError):
    """The database was written by a newer version of this package."""


class VaultError(SupernovaError):
    """Something about keys is wrong."""


class MasterKeyError(VaultError):
    """The master key is missing, wrong, or kept in an unsafe place."""


class KeyFormatError(VaultError, ValueError):
    """The text given cannot be a key of that provider. The text itself is never in the message."""


class KeyNotFound(VaultError):
    """The provider and slot hold no key. ``remedy`` is the command that adds one, if that is what is due."""

    remedy: str | None = None


class KeyCorrupt(VaultError):
    """A key record was altered, or moved from the place it was sealed for."""


_REMEDIES = {"max_cost": "Raise max_cost", "probe": "Raise 'health.paid_limit'"}
"""Of what is a limit, but not under 'budgets'."""


class BudgetExceeded(SupernovaError):
    """A budget cannot bear the request; nothing was sent.

    Amounts are in USD. ``resets_at`` is when the window ends, with its time zone. ``temporary`` says that
    what others hold could make room when it settles.
    """

    temporary = False

    def __init__(
        self,
        *,
        budget: str,
        spent: Decimal,
        held: Decimal,
        limit: Decimal,
        needed: Decimal,
        resets_at: datetime | None,
    ) -> None:
        self.budget = budget
        self.spent = spent
        self.held = held
        self.limit = limit
        self.needed = needed
        self.resets_at = resets_at
        remedy = _REMEDIES.get(budget, "Raise the limit under 'budgets'")
        reset = f" It resets at {resets_at:%Y-%m-%d %H:%M %Z}." if resets_at else ""
        super().__init__(
            f"budget {budget!r} cannot bear this request: it needs up to {show(needed)}, and "
            f"{show(self.left)} of {show(limit)} is left ({show(spent)} spent, {show(held)} held).{reset} "
            f"{remedy}, ask for fewer max_tokens, or use a cheaper tier."
        )

    @property
    def left(self) -> Decimal:
        """What the window can still bear, in USD; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)


class PriceUnknown(SupernovaError):
    """A budget applies and the model has no known price, so no limit could be kept."""


class UserErased(SupernovaError):
    """The user was erased while the call was running: nothing more is sent or kept for them."""


class NoProvider(SupernovaError):
    """There is no deployment to try: none is configured, holds a key, or is healthy."""


class ExtraMissing(SupernovaError):
    """An optional part of this package is not installed; the message says how to get it."""


class UnsupportedLoop(SupernovaError):
    """The caller's event loop is not asyncio's, or gevent has patched the process; nothing was sent."""


class ProviderError(SupernovaError):
    """A provider was asked and failed.

    ``status`` is the HTTP status if there was an answer; ``retry_after`` the seconds it asked to wait, if
    it did.
    """

    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.status = status
        super().__init__(message)


class AuthenticationFailed(ProviderError):
    """The provider refused the key."""


class AccountRefused(ProviderError):
    """The provider refused the account: it has no credit, is over its quota, or is not verified."""


class RateLimited(ProviderError):
    """The provider asks for fewer requests."""


class ProviderTimeout(ProviderError):
    """The provider did not answer in time."""


class ProviderUnavailable(ProviderError):
    """The provider could not be reached, or answered that it is in trouble."""


class ModelNotFound(ProviderError):
    """The provider does not know the model."""


class RequestRejected(ProviderError):
    """The provider refused the request as malformed or unsupported."""


class ParameterRefused(RequestRejected):
    """The model does not take a parameter of the request, such as a temperature; another one may."""


class ContextTooLong(RequestRejected):
    """The prompt is longer than the model's context."""


class ContentRefused(RequestRejected):
    """The provider's content policy refused the request."""


class NoAnswer(ProviderError):
    """The provider answered with nothing, which is charged all the same; nobody else was asked."""


class UnreadableAnswer(NoAnswer):
    """The provider gave an answer whose shape cannot be read; it is charged, and nobody else was asked."""


class StreamInterrupted(ProviderError):
    """The stream broke after its first token; ``partial`` is the text received until then."""

    def __init__(self, partial: str, reason: ProviderError) -> None:
        self.partial = partial
        super().__init__(
            f"the stream broke after {len(partial)} characters: {reason}",
            provider=reason.provider,
            model=reason.model,
            status=reason.status,
        )
