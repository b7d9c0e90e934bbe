"""What is behind one of LiteLLM's errors: the provider's answer, its status, codes, words and address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import litellm
from litellm.exceptions import MidStreamFallbackError

from supernova_ai.errors import SupernovaError
from supernova_ai.litellm_adapter import error_bodies
from supernova_ai.litellm_adapter.http import redirection
from supernova_ai.secret import redact

_HANDLER = "litellm-httpx-handler"
"""The provider's name in errors that LiteLLM's HTTP client raises, before its caller wraps them."""

_WRAPPING = re.compile(
    r"^((litellm\.)?(\w+(Error|Exception)|Timeout)( -|:) )+|\.? Handle with `litellm\.\w+`\.| ssl:<[^<>]*>"
    r"|^'message', Got unexpected response from Ollama: |\nTraceback \(.*",
    re.DOTALL,
)
"""What LiteLLM puts around the provider's words."""


def original(error: Exception) -> Exception:
    """Return the error of a stream that LiteLLM wrapped for its own fallbacks."""
    inner = error.original_exception if isinstance(error, MidStreamFallbackError) else None
    return error if inner is None else inner


def causes(error: Exception) -> Iterator[BaseException]:
    """Yield what led to the error, nearest first, without the failures of earlier attempts behind it."""
    cause = error.__cause__ or error.__context__
    while not (cause is None or isinstance(cause, SupernovaError) or hasattr(cause, "ended_attempt")):
        if isinstance(cause, MidStreamFallbackError) or getattr(cause, "llm_provider", "") == _HANDLER:
            pass  # LiteLLM's wrapping of this very failure
        elif type(cause).__module__ == litellm.exceptions.__name__:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def mark_ended(error: Exception) -> None:
    """Mark the error as the end of an attempt: its causes are none of a later attempt's failure."""
    error.ended_attempt = True  # type: ignore[attr-defined]


def status(error: Exception) -> int | None:
    """Return the HTTP status of the provider's answer; None if there is none: LiteLLM invents one then."""
    return next((refusal.response.status_code for refusal in _http_errors(error)), None)


def address(error: Exception) -> str | None:
    """Return the address that was asked, without its parameters: they may contain a key."""
    # Not of LiteLLM's own errors: it invents a request for them.
    urls = (refusal.request.url for refusal in _http_errors(error))
    return next((redact(str(url.copy_with(query=None, fragment=None))) for url in urls), None)


def redirected(error: Exception) -> str | None:
    """Say where the provider's answer redirects to; None if it does not."""
    return next(filter(None, (redirection(refusal.response) for refusal in _http_errors(error))), None)


def words(error: Exception) -> str:
    """Return the provider's words, without LiteLLM's wrapping and the provider's JSON around them."""
    if to := redirected(error):
        return to
    said = _unwrapped(error)
    said = "; ".join(dict.fromkeys(error_bodies.words_of(list(error_bodies.documents(said))))) or said
    if said == "Connection error.":  # OpenAI's client says no more; its cause does
        reasons = (str(cause) for cause in causes(error) if isinstance(cause, httpx.RequestError))
        said = next(filter(None, (_WRAPPING.sub("", reason) for reason in reasons)), said)
    return said


def documents(error: Exception) -> list[Mapping[str, Any]]:
    """Return the JSON objects in the provider's answer, or in LiteLLM's error message."""
    for answer in _answers(error):
        with suppress(httpx.ResponseNotRead):
            if found := list(error_bodies.documents(answer.text)):
                return found
    return list(error_bodies.documents(_unwrapped(error)))


def headers(error: Exception) -> dict[str, str]:
    """Return the headers of the provider's answers."""
    return {name: value for answer in reversed(_answers(error)) for name, value in answer.headers.items()}


def codes(error: Exception) -> Iterator[str]:
    """Yield the words that the provider gave as the error's code or type; LiteLLM has some as a status."""
    for cause in (error, *causes(error)):
        for name in ("code", "status_code", "type"):
            if isinstance(code := vars(cause).get(name), str):
                yield code


def _unwrapped(error: Exception) -> str:
    return _WRAPPING.sub("", str(getattr(error, "message", None) or error)).strip()


def _http_errors(error: Exception) -> Iterator[httpx.HTTPStatusError]:
    return (cause for cause in causes(error) if isinstance(cause, httpx.HTTPStatusError))


def _answers(error: Exception) -> list[httpx.Response]:
    """Return the answers behind the error; those that LiteLLM invents have no headers and no text."""
    found = (getattr(cause, "response", None) for cause in (error, *causes(error)))
    return [answer for answer in found if isinstance(answer, httpx.Response)]
