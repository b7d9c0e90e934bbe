"""LiteLLM's errors as ours, and what each says about the money of its attempt."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import httpx
import litellm
from litellm.exceptions import MidStreamFallbackError
from litellm.types.router import RouterRateLimitError, RouterRateLimitErrorBasic

from supernova_ai.characters import well_formed
from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
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
from supernova_ai.litellm_adapter import error_bodies
from supernova_ai.litellm_adapter.http import redirection
from supernova_ai.litellm_adapter.usage import count
from supernova_ai.secret import redact

# What the provider's answer says (refusals.py) comes first. LiteLLM's classes say more than the status where
# they are specific …
_BY_CLASS: tuple[tuple[type[Exception], type[ProviderError]], ...] = (
    (litellm.ContextWindowExceededError, ContextTooLong),
    (litellm.ContentPolicyViolationError, ContentRefused),
    (litellm.AuthenticationError, AuthenticationFailed),
    (litellm.Timeout, ProviderTimeout),
)
# … and less where they are not: a 401 may come as a BadRequestError, a 404 as an APIError.
_BY_STATUS: dict[int, type[ProviderError]] = {
    400: RequestRejected,
    401: AuthenticationFailed,
    402: AccountRefused,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ProviderTimeout,
    413: ContextTooLong,
    422: RequestRejected,
    429: RateLimited,
}

# Not httpx.ConnectError: LiteLLM's transport raises it for a connection that was reset, too.
_NEVER_SENT = (
    aiohttp.ClientConnectorError
    | aiohttp.ConnectionTimeoutError
    | httpx.ConnectTimeout
    | httpx.PoolTimeout
    | ConnectionRefusedError
    | socket.gaierror
)
OF_THE_MODEL = (ContextTooLong, ParameterRefused)
"""Refusals of a request that another model may take."""

_MAY_HAVE_RUN = frozenset({408, 499, 504, *range(520, 525)})
"""Statuses of a gateway that gave up on the model, or lost sight of it: it may have answered all the same."""

_HANDLER = "litellm-httpx-handler"
"""Whose errors LiteLLM's HTTP client raises, before what called it puts its own around them."""

# What LiteLLM puts around the provider's words.
_NOISE = re.compile(
    r"^((litellm\.)?(\w+(Error|Exception)|Timeout)( -|:) )+|\.? Handle with `litellm\.\w+`\.| ssl:<[^>]*>"
    r"|^'message', Got unexpected response from Ollama: |\nTraceback \(.*",
    re.DOTALL,
)

_ADVICE: dict[type[ProviderError], str] = {
    AuthenticationFailed: "Check the key: 'supernova keys list', then 'supernova keys add'.",
    AccountRefused: "Check the account's credit, limits and verification with the provider.",
    ParameterRefused: "Leave the parameter out, or choose a model that takes it.",
    ModelNotFound: "Check the model's name under 'providers', and its 'api_base' if it has one.",
    ContextTooLong: "Send less text, or pick a tier whose model reads more.",
    RateLimited: "Send fewer requests, or configure 'limits' and another provider.",
}

REMEDIES = {kind.__name__: _ADVICE[kind] for kind in (AuthenticationFailed, AccountRefused, ModelNotFound)}
"""What to do about failures that only a person can mend, by class name."""


class AskedModel(Protocol):
    """The model that was asked: a deployment, or whatever else names one."""

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...


def translate(error: Exception, asked: AskedModel | None = None) -> SupernovaError:
    """Return the error as one of ours, its words redacted; one of ours stays itself."""
    error = _original(error)
    if isinstance(error, SupernovaError):
        return error
    if isinstance(error, RouterRateLimitError | RouterRateLimitErrorBasic):
        return NoProvider(
            "all providers of this tier are in cooldown; try again later, or lower 'routing.breaker.cooldown'"
        )
    if out_of_files(error):
        return NoProvider(
            "no connection could be opened: this process or machine has no file descriptor left. Close what "
            "is open, make fewer calls at once, or raise the limit ('ulimit -n')"
        )
    kind = _kind(error)
    provider, model = (asked.provider, asked.model) if asked else ("the provider", "")
    words = redact(well_formed(_words(error)))
    if kind is ModelNotFound and (address := _address(error)):
        words += f" (asked at {address})"
    ours = kind(
        f"{provider} failed ({model}): {words} {_ADVICE.get(kind, '')}".strip(),
        provider=provider,
        model=model,
        status=_status(error),
    )
    ours.retry_after = error_bodies.wait_of(
        _headers(error), _documents(error), str(error), limited=kind is RateLimited
    )
    return ours


def is_callers(error: Exception) -> bool:
    """Say whether the request itself was refused, so that every provider would refuse it."""
    kind = _kind(_original(error))
    return issubclass(kind, RequestRejected) and kind not in OF_THE_MODEL


def is_refused(error: Exception) -> bool:
    """Say whether the error only says that the request was refused, and not why."""
    return _kind(_original(error)) is RequestRejected


def out_of_files(error: Exception) -> bool:
    """Say whether this process or machine has no file descriptor left, which is no fault of a provider."""
    error = _original(error)
    numbers = (getattr(cause, "errno", None) for cause in (error, *_causes(error)))
    return any(number in (errno.EMFILE, errno.ENFILE) for number in numbers)


def in_stream(error: Exception, asked: AskedModel) -> Exception:
    """Return the error of a stream that had begun: LiteLLM makes a refusal of what it could not read."""
    if not is_refused(error):
        return error
    ours: Exception = unavailable(_words(_original(error)), asked)
    ours.__cause__ = error
    return ours


def unavailable(words: str, asked: AskedModel) -> Any:
    """Return an error that LiteLLM's Router treats as the provider's, for an answer that is none."""
    return litellm.ServiceUnavailableError(words, llm_provider=asked.provider, model=asked.model)


def timed_out(asked: AskedModel) -> Any:
    """Return an error that LiteLLM's Router treats as a timeout, for an attempt that took too long."""
    return litellm.Timeout("no answer in time", llm_provider=asked.provider, model=asked.model)


def seal(error: Exception) -> None:
    """Mark the error as what ended an attempt: what led to it is no cause of a later one's failure."""
    error.sealed = True  # type: ignore[attr-defined]


def name(error: BaseException) -> str:
    """Return the name the ledger keeps for the error: our class, or what the caller did."""
    if isinstance(error, GeneratorExit):
        return "Abandoned"
    if not isinstance(error, Exception):
        return "Cancelled"
    return type(translate(error)).__name__


def spent_nothing(error: Exception) -> bool:
    """Say whether the attempt surely cost nothing: it was refused by a status of HTTP, or never sent.

    An error in an answer of status 200 proves nothing: the request was accepted.
    """
    error = _original(error)
    if isinstance(error, SupernovaError) or any(isinstance(e, _NEVER_SENT) for e in _causes(error)):
        return True
    status = _status(error)
    return status is not None and status not in _MAY_HAVE_RUN


def _words(error: Exception) -> str:
    """Return what the provider said, without LiteLLM's wrapping and the provider's JSON around it."""
    if redirected := _redirection(error):
        return redirected
    words = _unwrap(_NOISE.sub("", str(getattr(error, "message", None) or error)).strip())
    if words == "Connection error.":  # OpenAI's client says no more: what led to it does
        reasons = (str(cause) for cause in _causes(error) if isinstance(cause, httpx.TransportError))
        words = next(filter(None, (_NOISE.sub("", reason) for reason in reasons)), words)
    return words


def _unwrap(words: str) -> str:
    """Return what an error's body says, which may be a body in turn: a server tells what another told it."""
    return "; ".join(dict.fromkeys(error_bodies.words_of(list(error_bodies.documents(words))))) or words


def _redirection(error: Exception) -> str | None:
    """Say where the provider's answer redirects to, None if it does not."""
    answers = (cause.response for cause in _causes(error) if isinstance(cause, httpx.HTTPStatusError))
    return next(filter(None, map(redirection, answers)), None)


def _kind(error: Exception) -> type[ProviderError]:
    if _redirection(error):
        return ProviderUnavailable
    status = _status(error)
    found = _documents(error)
    text = "\n".join(error_bodies.words_of(found)) or str(error)
    if kind := error_bodies.kind_of(found, list(_codes(error)), text, status):
        return kind
    for theirs, ours in _BY_CLASS:
        if isinstance(error, theirs):
            return ours
    if any(isinstance(cause, httpx.TimeoutException | TimeoutError) for cause in (error, *_causes(error))):
        return ProviderTimeout
    return _BY_STATUS.get(status or count(getattr(error, "status_code", None)), ProviderUnavailable)


def _documents(error: Exception) -> list[Mapping[str, Any]]:
    """Return the JSON objects in the provider's answer, or in what LiteLLM made of it."""
    for answer in _answers(error):
        with suppress(httpx.ResponseNotRead):
            if found := list(error_bodies.documents(answer.text)):
                return found
    return list(error_bodies.documents(_NOISE.sub("", str(getattr(error, "message", None) or error)).strip()))


def _headers(error: Exception) -> dict[str, str]:
    return {name: value for answer in reversed(_answers(error)) for name, value in answer.headers.items()}


def _answers(error: Exception) -> list[httpx.Response]:
    """Return the answers behind the error; those that LiteLLM makes up have no headers and no text."""
    found = (getattr(cause, "response", None) for cause in (error, *_causes(error)))
    return [answer for answer in found if isinstance(answer, httpx.Response)]


def _codes(error: Exception) -> Iterator[str]:
    """Yield the words that the provider gave as the error's code or type; LiteLLM takes some for a status."""
    for cause in (error, *_causes(error)):
        for name in ("code", "status_code", "type"):
            if isinstance(code := vars(cause).get(name), str):
                yield code


def _address(error: Exception) -> str | None:
    """Return the address that was asked, without parameters: they may hold a key."""
    # Not of LiteLLM's own errors: it makes a request up for them.
    asked = (cause.request.url for cause in _causes(error) if isinstance(cause, httpx.HTTPStatusError))
    return next((redact(str(url.copy_with(query=None, fragment=None))) for url in asked), None)


def _status(error: Exception) -> int | None:
    """Return the HTTP status of the provider's answer, None if it gave none: LiteLLM makes one up then."""
    answers = (cause.response for cause in _causes(error) if isinstance(cause, httpx.HTTPStatusError))
    return next((answer.status_code for answer in answers), None)


def _original(error: Exception) -> Exception:
    inner = error.original_exception if isinstance(error, MidStreamFallbackError) else None
    return error if inner is None else inner


def _causes(error: Exception) -> Iterator[BaseException]:
    """Yield what led to the error, nearest first, without the failures of earlier attempts behind it."""
    cause = error.__cause__ or error.__context__
    while not (cause is None or isinstance(cause, SupernovaError) or hasattr(cause, "sealed")):
        if isinstance(cause, MidStreamFallbackError) or getattr(cause, "llm_provider", "") == _HANDLER:
            pass  # LiteLLM's wrapping of this very failure
        elif type(cause).__module__ == litellm.exceptions.__name__:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
