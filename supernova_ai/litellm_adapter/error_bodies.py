"""What a provider's error answer says: why it refused, and how long to wait.

The codes and types in its JSON are read before its words. ``docs/failover.md`` shows the table.
"""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    ParameterRefused,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)

Kind = type[ProviderError]

_CODES: dict[Kind, str] = {
    AccountRefused: """access_terminated account_deactivated billing_error billing_hard_limit_reached
        billing_not_active insufficient_balance insufficient_credits insufficient_quota model_terms_required
        organization_restricted unsupported_country_region_territory""",
    AuthenticationFailed: """api_key_invalid authentication_error incorrect_api_key invalid_api_key
        permission_error unauthenticated""",
    ContentRefused: """content_filter content_policy_violation data_inspection_failed invalid_prompt
        moderation_blocked prohibited_content responsibleaipolicyviolation""",
    ContextTooLong: """context_length_exceeded exceed_context_size_error
        model_max_prompt_tokens_exceeded request_too_large tokens_limit_reached""",
    ModelNotFound: """deploymentnotfound invalid_model model_decommissioned model_not_found
        model_not_supported not_found_error unknown_model""",
    ProviderTimeout: "deadline_exceeded timeout_error",
    ProviderUnavailable: """internal_server_error overloaded_error server_error service_unavailable
        tool_use_failed""",  # the last: the model wrote a call of a tool that cannot be read
    RateLimited: "rate_limit_error rate_limit_exceeded resource_exhausted too_many_requests",
}
_BY_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

_BY_WORDS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(words), re.IGNORECASE | re.DOTALL))
    for kind, words in (
        (
            ContextTooLong,
            (
                r"maximum (context|prompt|input|model|sequence) length|max(imum)? context length",
                r"exceeds? (the|its|this model's) (available |maximum )?(context|token limit)",
                r"exceeds the maximum number of tokens allowed|exceeds? (the )?max(imum)? length",
                r"exceeds? context limit|context window exceeds|exceeded model token limit",
                r"(longer|greater|larger) than the (model's |maximum |available )*(context|model length)",
                r"\bprompt( is)? too long|\binput( length)? is too (long|large)|too many tokens: ",
                r"`inputs` (tokens \+ `max_new_tokens` must be|must have less than)",
                r"input tokens exceed the configured limit|request body too large for .{0,80} model",
                r"current length is .{0,40} while limit is|reduce the length of (the|your) (messages|prompt)",
            ),
        ),
        (
            AccountRefused,
            (
                r"(API|hourly|daily|weekly|monthly|session) usage limits?|spend(ing)? limit",
                r"(credit )?balance is too low|insufficient (account )?(balance|credits?|funds|quota)",
                r"more credits|out of credits|available credits|included credits|exceeded your current quota",
                r"billing (hard limit|is not active|details|has not been)|(enable|set up) billing",
                r"(organi[sz]ation|account|team|project)[^.]{0,60} (must be verified|needs to be verified)",
                r"(organi[sz]ation|account|team|project)[^.]{0,40} (has been|is) "
                r"(currently )?(deactivated|disabled|restricted|suspended|blocked)",
                r"requires a(n active)? subscription",
            ),
        ),
        (
            ModelNotFound,
            (
                r"\bmodels?\b[^.]{0,120}\b(decommissioned|retired|does not exist|not found)\b",
                r"\bmodels?\b[^.]{0,120}\bno longer (supported|available|served|offered)\b",
                r"not a valid model|(unknown|invalid) model\b|is not supported by any provider",
            ),
        ),
        (
            AuthenticationFailed,
            (r"API key (not valid|expired)|(incorrect|invalid) (API|x-api)[ -]key|no auth credentials",),
        ),
        (
            ContentRefused,
            (
                r"\b(input|prompt|request|content|messages?) (was|were|has been|is) flagged",
                r"blocked by (our |the )?content filter|content management policy|our safety system",
                r"violat\w{1,9} [^.]{0,40}(usage|content) (policy|policies|guidelines)",
            ),
        ),
        (
            ParameterRefused,
            (
                r"\b(temperature|top_[pk]|(max|min)_\w*tokens|maxOutputTokens|(frequency|presence)_?penalty)\b",
                r"\b(reasoning_effort|response_format|stream_options|service_tier|parallel_tool_calls)\b",
                r"(unsupported|unknown|unrecognized) (parameter|value|argument)|argument not supported",
                r"parameters? .{0,60}not supported",
            ),
        ),
    )
)
_PARAMETER_CODES = re.compile(
    r"(unsupported|unknown)_(parameter|value)|(decimal|integer)_(above_max|below_min)_value"
)
_MODEL_PARAMETERS = (
    *("frequency_penalty", "max_completion_tokens", "max_tokens", "presence_penalty", "reasoning_effort"),
    *("response_format", "service_tier", "stream", "stream_options", "temperature", "top_k", "top_p"),
)
"""Parameters in which models differ: another model may accept what one refuses."""

_MALFORMED = (400, 422, None)
"""Statuses of a request that was refused as malformed; None if there is no HTTP status."""


def documents(text: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects of an error's body that may explain it, outermost first.

    A gateway puts another server's answer into its own, sometimes as text.
    """
    if isinstance(text, str):
        with suppress(ValueError, SyntaxError, RecursionError):
            # LiteLLM shows the answer to a request for a stream as bytes, and an event as a dict.
            text = ast.literal_eval(text) if text.startswith(("b'", 'b"', "{'")) else json.loads(text)
    if isinstance(text, bytes):
        with suppress(ValueError, RecursionError):
            text = json.loads(text)
    if isinstance(text, list):
        for each in text:
            yield from documents(each)
    elif isinstance(text, Mapping):
        yield text
        for name in ("error", "metadata", "raw", "innererror", "details", "detail"):
            yield from documents(text.get(name))


def words_of(found: list[Mapping[str, Any]]) -> list[str]:
    """Return the documents' texts for a reader, without those of a request that they repeat."""
    texts = (
        said for each in found for name in ("message", "error", "msg", "detail") if (said := each.get(name))
    )
    return [text for text in texts if isinstance(text, str) and not text.startswith("{")]


def kind_of(found: list[Mapping[str, Any]], codes: list[str], text: str, status: int | None) -> Kind | None:
    """Return the class of the error; None if only the status tells.

    Args:
        found: the documents of the error.
        codes: its code and type as LiteLLM and its clients read them.
        text: its words.
        status: its HTTP status.
    """
    names = ("code", "type", "status", "reason")
    codes = [*codes, *(said for each in found for name in names if isinstance(said := each.get(name), str))]
    codes = [code.lower() for code in codes]
    if known := next(filter(None, map(_BY_CODE.get, codes)), None):
        return known
    if any(each.get("reasons") for each in found):  # OpenRouter's moderation
        return ContentRefused
    malformed = status in _MALFORMED
    for kind, words in _BY_WORDS:
        # A limit of tokens per minute is no context length, and in a 500 "temperature" is no parameter.
        fits = status != 429 if kind is ContextTooLong else malformed or kind is not ParameterRefused
        if fits and words.search(text):
            return kind
    parameter = any(map(_PARAMETER_CODES.fullmatch, codes)) or any(
        each.get("param") in _MODEL_PARAMETERS for each in found
    )
    return ParameterRefused if malformed and parameter else None


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)(ms|[smhd])")
_WAIT_WORDS = re.compile(
    r"\b(?:retry|try again) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|[smhd])?)+) ?(min)?", re.IGNORECASE
)
_RESETS = re.compile(r"(x|anthropic)-ratelimit-(reset(-\w+)?|[\w-]+-reset)")


def wait_of(
    headers: Mapping[str, str], found: list[Mapping[str, Any]], text: str, *, limited: bool
) -> float | None:
    """Return the seconds that the provider asks to wait; None if it names no time.

    Args:
        headers: those of the answer, their names in lower case.
        found: the documents of the error.
        text: its words.
        limited: a rate limit was reached, so the time of its reset counts.
    """
    for name, unit in (("retry-after-ms", "ms"), ("retry-after", "s")):
        if (said := _seconds(headers.get(name), unit)) is not None:
            return said
    for each in found:
        if (said := _seconds(each.get("retryDelay"), "s")) is not None:
            return said
    if not limited:
        return None
    resets = [name for name in headers if _RESETS.fullmatch(name) and not _has_remaining(headers, name)]
    if times := [said for name in resets if (said := _seconds(headers[name], "s")) is not None]:
        return max(times)
    words = _WAIT_WORDS.search(text)
    return _seconds(words[1], "m" if words[2] else "s") if words else None


def _has_remaining(headers: Mapping[str, str], reset: str) -> bool:
    """Say whether the limit of a reset header is not used up."""
    return headers.get(reset.replace("-reset", "-remaining"), "").strip("0. ") != ""


def _seconds(said: object, unit: str) -> float | None:
    """Return the seconds of a number, a duration such as 6m0s, or a date; None for any other value.

    A date without a zone is in UTC.

    >>> _seconds("1500", "ms"), _seconds("2s", "s"), _seconds("1m30.5s", "s"), _seconds("soon", "s")
    (1.5, 2.0, 90.5, None)
    """
    text = str(said).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        number = float(text)
        if number > 1e9:  # a Unix time in seconds or milliseconds
            return max(0.0, (number / 1000 if number > 1e11 else number) - time.time())
        return number * _UNITS[unit]
    if text and not _DURATION_PART.sub("", text):
        return sum(float(number) * _UNITS[name] for number, name in _DURATION_PART.findall(text))
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, OverflowError):
            at = read(text)
            return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
    return None
