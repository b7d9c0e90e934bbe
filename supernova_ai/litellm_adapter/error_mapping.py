"""LiteLLM's errors as ours: the class of each, whether a retry may help, whether its attempt cost money."""

from __future__ import annotations

import errno
import socket
from typing import Any, Protocol

import aiohttp
import httpx
import litellm
from litellm.types.router import RouterRateLimitError, RouterRateLimitErrorBasic

from supernova_ai.characters import well_formed
from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
    KeyRevoked,
    ModelNotFound,
    NoProvider,
    ParameterRefused,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SupernovaError,
)
from supernova_ai.litellm_adapter import error_bodies, error_causes
from supernova_ai.litellm_adapter.key_transport import KeyNotSent
from supernova_ai.litellm_adapter.usage import token_count
from supernova_ai.secret import redact
from supernova_ai.types import ABANDONED

# Read after the provider's answer (error_bodies.py). LiteLLM's classes say more than the status if they are
# specific …
_BY_CLASS: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (litellm.ContextWindowExceededError, ContextTooLong),
    (litellm.ContentPolicyViolationError, ContentRefused),
    (litellm.AuthenticationError, AuthenticationFailed),
    (litellm.Timeout, ProviderTimeout),
)
# … and less if they are not: a 401 may come as a BadRequestError, a 404 as an APIError.
_BY_STATUS: dict[int, type[ProviderError]] = {
    400: RequestRejected,
    401: AuthenticationFailed,
    402: AccountRefused,
    403: AuthenticationFailed,
    404: ModelNotFound,
    405: ModelNotFound,  # some servers answer so where they have no such path
    408: ProviderTimeout,
    413: ContextTooLong,
    422: RequestRejected,
    429: RateLimited,
}

# Not httpx.ConnectError: LiteLLM's transport raises it also for a connection that was reset.
_NEVER_SENT = (
    aiohttp.ClientConnectorError
    | aiohttp.ConnectionTimeoutError
    | aiohttp.ClientHttpProxyError  # it refused the tunnel to the provider
    | httpx.ConnectTimeout
    | httpx.PoolTimeout
    | KeyNotSent
    | ConnectionRefusedError
    | socket.gaierror
)
MODEL_REFUSALS = (ContextTooLong, ParameterRefused)
"""Refusals of a request that another model may accept."""

_MAY_HAVE_RUN = frozenset({408, 499, 504, *range(520, 525)})
"""Statuses of a gateway that gave up on the model or lost its connection: the model may have answered."""

_ADVICE: dict[type[ProviderError], str] = {
    AuthenticationFailed: "Check the key: 'supernova keys list', then 'supernova keys add'.",
    AccountRefused: "Check the account's credit, limits and verification with the provider.",
    ParameterRefused: "Leave the parameter out, or choose a model that takes it.",
    ModelNotFound: "Check the model's name under 'providers', and its 'api_base' if it has one.",
    ContextTooLong: "Send less text, or pick a tier whose model reads more.",
    RateLimited: "Send fewer requests, or configure 'limits' and another provider.",
}

REMEDIES = {kind.__name__: _ADVICE[kind] for kind in (AuthenticationFailed, AccountRefused, ModelNotFound)}
"""Remedies for failures that only a person can correct, by class name."""


class AskedModel(Protocol):
    """The model that was asked; a ``Deployment`` is one."""

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def address(self) -> str | None: ...


def translate(error: Exception, asked: AskedModel | None = None) -> SupernovaError:
    """Return the error as one of ours, its words redacted; one of ours is returned as it is."""
    error = error_causes.original(error)
    if isinstance(error, SupernovaError):
        return error
    if isinstance(error, RouterRateLimitError | RouterRateLimitErrorBasic):
        return NoProvider(
            "all providers of this tier are in cooldown; try again later, or lower 'routing.breaker.cooldown'"
        )
    if out_of_file_descriptors(error):
        return NoProvider(
            "no connection could be opened: this process or machine has no file descriptor left. Close "
            "files or connections, make fewer calls at once, or raise the limit ('ulimit -n')"
        )
    provider, model = (asked.provider, asked.model) if asked else ("the provider", "")
    if any(isinstance(cause, KeyNotSent) for cause in error_causes.causes(error)):
        return KeyRevoked(f"the key of {provider} was revoked before the request was sent ({model})")
    kind = _kind(error)
    words = redact(well_formed(error_causes.words(error)))
    if kind is ModelNotFound and (address := error_causes.address(error)):
        words += f" (asked at {address})"
    ours = kind(
        f"{provider} failed ({model}): {words} {_ADVICE.get(kind, '')}".strip(),
        provider=provider,
        model=model,
        status=error_causes.status(error),
    )
    ours.retry_after = error_bodies.wait_of(
        error_causes.headers(error),
        error_causes.documents(error),
        str(error),
        limited=kind is RateLimited,
    )
    return ours


def _kind(error: Exception) -> type[ProviderError]:
    if error_causes.redirected(error):
        return ProviderUnavailable
    status = error_causes.status(error)
    found = error_causes.documents(error)
    text = "\n".join(error_bodies.words_of(found)) or str(error)
    if kind := error_bodies.kind_of(found, list(error_causes.codes(error)), text, status):
        return kind
    for theirs, ours in _BY_CLASS:
        if isinstance(error, theirs):
            return ours
    chain = (error, *error_causes.causes(error))
    if any(isinstance(cause, httpx.TimeoutException | TimeoutError) for cause in chain):
        return ProviderTimeout
    return _BY_STATUS.get(status or token_count(getattr(error, "status_code", None)), ProviderUnavailable)


def is_final_refusal(error: Exception) -> bool:
    """Say whether the request itself was refused, so that every provider would refuse it."""
    kind = _kind(error_causes.original(error))
    return issubclass(kind, RequestRejected) and kind not in MODEL_REFUSALS


def is_unexplained_refusal(error: Exception) -> bool:
    """Say whether the error only says that the request was refused, and not why."""
    return _kind(error_causes.original(error)) is RequestRejected


def out_of_file_descriptors(error: Exception) -> bool:
    """Say whether this process or machine has no file descriptor left: the provider did not fail."""
    error = error_causes.original(error)
    numbers = (getattr(cause, "errno", None) for cause in (error, *error_causes.causes(error)))
    return any(number in (errno.EMFILE, errno.ENFILE) for number in numbers)


def stream_error(error: Exception, asked: AskedModel) -> Exception:
    """Return the error of a stream that had begun: LiteLLM reports what it cannot read as a refusal."""
    if not is_unexplained_refusal(error):
        return error
    ours: Exception = unavailable(error_causes.words(error_causes.original(error)), asked)
    ours.__cause__ = error
    return ours


def unavailable(words: str, asked: AskedModel) -> Any:
    """Return an error that LiteLLM's Router treats as the provider's, for an answer that cannot be used."""
    return litellm.ServiceUnavailableError(words, llm_provider=asked.provider, model=asked.model)


def timed_out(asked: AskedModel) -> Any:
    """Return an error that LiteLLM's Router treats as a timeout, for an attempt that took too long."""
    return litellm.Timeout("no answer in time", llm_provider=asked.provider, model=asked.model)


def ledger_name(error: BaseException) -> str:
    """Return the name of the error in the ledger: our class, or what the caller did."""
    if isinstance(error, GeneratorExit) or error.args == (ABANDONED,):
        return ABANDONED
    if not isinstance(error, Exception):
        return "Cancelled"
    return type(translate(error)).__name__


def spent_nothing(error: Exception) -> bool:
    """Say whether the attempt certainly cost nothing: it was refused with an HTTP status, or never sent.

    An error in an answer of status 200 proves nothing: the request was accepted.
    """
    error = error_causes.original(error)
    never_sent = any(isinstance(cause, _NEVER_SENT) for cause in error_causes.causes(error))
    if isinstance(error, SupernovaError) or never_sent:
        return True
    status = error_causes.status(error)
    return status is not None and status not in _MAY_HAVE_RUN
