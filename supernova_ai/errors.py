"""Every error this package raises on purpose. Catch ``SupernovaError`` for all of them.

SupernovaError
├── ConfigError                 the YAML, .env, environment or arguments are invalid
├── InvalidRequest              an argument of the call is invalid (also a ValueError)
│   ├── UnknownOption           … because there is no option of that name (also a TypeError)
│   └── UnknownModel            … because the configuration has no model of that name
├── StoreError                  the database cannot be opened, read or written
│   ├── SchemaTooNew            … because a newer version of this package wrote it
│   └── BackupError             … or a backup of it cannot be made, read or restored
├── VaultError                  a problem with keys
│   ├── MasterKeyError          the master key is missing, wrong or unsafe
│   ├── KeyFormatError          the text is not a key of that provider (also a ValueError)
│   ├── KeyNotFound             the key slot of the provider is empty
│   ├── KeyCorrupt              the key's record was altered or moved
│   └── KeyRevoked              the key was revoked before the request was sent
├── BudgetExceeded              a budget has too little left for the request
├── PriceUnknown                the model has no known price while a budget applies
├── UserErased                  the user was erased while the call was running
├── NoProvider                  no deployment is available: none configured, with a key, or healthy
├── ExtraMissing                an optional extra of this package is not installed
├── UnsupportedLoop             the caller's event loop is not asyncio, or is patched
└── ProviderError               a provider was called and failed
    ├── AuthenticationFailed    it refused the key
    ├── AccountRefused          it refused the account: no credit, over its quota, not verified
    ├── RateLimited             it limits the rate of requests
    ├── ProviderTimeout         it did not answer in time
    ├── ProviderUnavailable     it could not be reached, or answered 5xx
    ├── ModelNotFound           it does not know the model
    ├── RequestRejected         it refused the request as malformed
    │   ├── ParameterRefused    … because the model does not support a parameter
    │   ├── ContextTooLong      … because the prompt is too long for the model
    │   └── ContentRefused      … because of its content policy
    ├── NoAnswer                its answer was empty, or had only reasoning
    │   └── UnreadableAnswer    … or had an unknown format
    ├── InvalidAnswer           its answer does not have the schema that was asked for
    └── StreamInterrupted       the stream broke after its first token
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from supernova_ai.money import show


class SupernovaError(Exception):
    """The base of every error this package raises on purpose. It can be pickled and copied.

    ``request_id`` is the id of the request; None if there was none yet. ``tool_runs`` has a
    ``ToolRun`` for each call that ``run_tools`` made before it failed.
    """

    request_id: str | None = None
    tool_runs: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # The inherited method calls the constructor with the message only, and some of ours take more.
        return _restore, (type(self), self.args), vars(self)


def _restore(kind: type[SupernovaError], arguments: tuple[object, ...]) -> SupernovaError:
    return kind.__new__(kind, *arguments)


class ConfigError(SupernovaError):
    """The configuration is invalid; the message names file, line, setting, value and remedy."""


class InvalidRequest(SupernovaError, ValueError):
    """An argument of the call is invalid; nothing was sent or spent."""


class UnknownOption(InvalidRequest, TypeError):
    """The function that was called has no option of that name."""


class UnknownModel(InvalidRequest):
    """The configuration has no model of that name, or its provider is not enabled."""


class StoreError(SupernovaError):
    """The database cannot be opened, read or written."""


class SchemaTooNew(StoreError):
    """The database was written by a newer version of this package."""


class BackupError(StoreError):
    """A backup cannot be made, read or restored."""


class VaultError(SupernovaError):
    """A problem with keys."""


class MasterKeyError(VaultError):
    """The master key is missing, wrong, or kept in an unsafe place."""


class KeyFormatError(VaultError, ValueError):
    """The text cannot be a key of that provider; the message never contains it."""


class KeyNotFound(VaultError):
    """The key slot of the provider is empty. ``remedy`` is the command that adds a key, if that helps."""

    remedy: str | None = None


class KeyCorrupt(VaultError):
    """A key record was altered, or moved to another provider, slot or database."""


class KeyRevoked(VaultError):
    """The key of an attempt was revoked before its request was sent; nothing was sent or spent."""


_REMEDIES = {"max_cost": "Raise max_cost", "probe": "Raise 'health.paid_limit'"}
"""Remedies for limits that are configured outside 'budgets'."""


class BudgetExceeded(SupernovaError):
    """A budget has too little left for the request; nothing was sent.

    Amounts are in USD. ``covers`` is what the budget's window counts, such as "team 'fx'"; empty for all
    calls. ``resets_at`` is the end of the window, with its time zone. ``temporary``: the request may fit when
    the holds of other calls settle.
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
        covers: str = "",
    ) -> None:
        self.budget = budget
        self.covers = covers
        self.spent = spent
        self.held = held
        self.limit = limit
        self.needed = needed
        self.resets_at = resets_at
        remedy = _REMEDIES.get(budget, "Raise the limit under 'budgets'")
        covered = f" ({covers})" if covers else ""
        reset = f" It resets at {resets_at:%Y-%m-%d %H:%M %Z}." if resets_at else ""
        super().__init__(
            f"budget {budget!r}{covered} is too low for this request: it needs up to {show(needed)}, and "
            f"{show(self.left)} of {show(limit)} is left ({show(spent)} spent, {show(held)} held).{reset} "
            f"{remedy}, lower max_tokens, or use a cheaper tier."
        )

    @property
    def left(self) -> Decimal:
        """The remaining amount of the window in USD; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)


class PriceUnknown(SupernovaError):
    """A budget applies and the model has no known price, so the budget could not be enforced."""


class UserErased(SupernovaError):
    """The user was erased, while the call was running or before feedback: nothing more is sent or stored."""


class NoProvider(SupernovaError):
    """No deployment is available: none is configured, has a key, or is healthy."""


class ExtraMissing(SupernovaError):
    """An optional extra of this package is not installed; the message says how to install it."""


class UnsupportedLoop(SupernovaError):
    """The caller's event loop is not asyncio's, or gevent has patched the process; nothing was sent."""


class ProviderError(SupernovaError):
    """A provider was called and failed.

    ``status`` is the HTTP status, None if there was no response; ``retry_after`` is the seconds it asked to
    wait, None if it did not.
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
    """The provider limits the rate of requests."""


class ProviderTimeout(ProviderError):
    """The provider did not answer in time."""


class ProviderUnavailable(ProviderError):
    """The provider could not be reached, or answered with a server error."""


class ModelNotFound(ProviderError):
    """The provider does not know the model."""


class RequestRejected(ProviderError):
    """The provider refused the request as malformed or unsupported."""


class ParameterRefused(RequestRejected):
    """The model does not support a parameter of the request, such as a temperature; another one may."""


class ContextTooLong(RequestRejected):
    """The prompt is longer than the model's context window."""


class ContentRefused(RequestRejected):
    """The provider's content policy refused the request."""


class NoAnswer(ProviderError):
    """The provider's answer was empty; it is charged, and no other provider was tried."""


class UnreadableAnswer(NoAnswer):
    """The provider's answer has an unknown format; it is charged, and no other provider was tried."""


class InvalidAnswer(ProviderError):
    """The answer does not have the schema that was asked for, also when asked once more; it is charged.

    ``text`` is the answer; ``problems`` has a mapping for each error, as pydantic gives them.
    """

    def __init__(
        self, reason: str, *, provider: str, model: str, text: str, problems: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.text = text
        self.problems = tuple(problems)
        super().__init__(
            f"{provider} failed ({model}): its answer does not have the schema: {reason}",
            provider=provider,
            model=model,
        )


class StreamInterrupted(ProviderError):
    """The stream broke after its first token; ``partial`` is the text received before."""

    def __init__(self, partial: str, reason: ProviderError) -> None:
        self.partial = partial
        super().__init__(
            f"the stream broke after {len(partial)} characters: {reason}",
            provider=reason.provider,
            model=reason.model,
            status=reason.status,
        )
