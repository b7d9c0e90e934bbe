"""Errors in OpenAI's form: the status, the type and the code of each class of ours."""

from __future__ import annotations

import math
import re
import traceback
from typing import Any, NamedTuple

from starlette.responses import JSONResponse

from supernova_ai.errors import (
    AccountRefused,
    AuthenticationFailed,
    BudgetExceeded,
    ContentRefused,
    ContextTooLong,
    InvalidAnswer,
    InvalidRequest,
    ModelNotFound,
    NoAnswer,
    NoProvider,
    PriceUnknown,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
    StreamInterrupted,
    SupernovaError,
    UnknownModel,
    UserErased,
)
from supernova_ai.log import get_logger
from supernova_ai.secret import redact
from supernova_ai.serve import chat_requests, embeddings
from supernova_ai.serve.headers import PREFIX
from supernova_ai.serve.request_bodies import UnknownField

log = get_logger(__name__)


class Failure(NamedTuple):
    """How an error is answered."""

    status: int
    type: str
    code: str | None


FAILURES: tuple[tuple[type[SupernovaError], Failure], ...] = (
    (UnknownModel, Failure(404, "invalid_request_error", "model_not_found")),
    (InvalidRequest, Failure(400, "invalid_request_error", None)),
    (BudgetExceeded, Failure(402, "insufficient_quota", "budget_exceeded")),
    (PriceUnknown, Failure(402, "insufficient_quota", "price_unknown")),
    (UserErased, Failure(410, "invalid_request_error", "user_erased")),
    (NoProvider, Failure(503, "server_error", "no_provider")),
    (ContextTooLong, Failure(400, "invalid_request_error", "context_length_exceeded")),
    (ContentRefused, Failure(400, "invalid_request_error", "content_filter")),
    (RequestRejected, Failure(400, "invalid_request_error", "request_rejected")),
    (RateLimited, Failure(429, "rate_limit_error", "rate_limit_exceeded")),
    (ProviderTimeout, Failure(504, "server_error", "provider_timeout")),
    (AuthenticationFailed, Failure(502, "server_error", "provider_authentication_failed")),
    (AccountRefused, Failure(502, "server_error", "provider_account_refused")),
    (ModelNotFound, Failure(502, "server_error", "provider_model_not_found")),
    (InvalidAnswer, Failure(502, "server_error", "invalid_answer")),
    (NoAnswer, Failure(502, "server_error", "no_answer")),
    (StreamInterrupted, Failure(502, "server_error", "stream_interrupted")),
    (ProviderError, Failure(502, "server_error", "provider_unavailable")),
)
"""The first class that matches decides. Others are failures of this server, and its log has the reason."""

_INTERNAL = Failure(500, "server_error", "internal_error")

_FIRST_NAME = re.compile(r"[a-z_-]+")

_NAMES = {
    "max_cost": "x-supernova-max-cost",
    "response_model": "response_format",
    "session_id": "x-supernova-session",
    "tags": "x-supernova-tags",
    "task": "x-supernova-task",
    "texts": "input",
    "team": "x-supernova-team",
    "tier": "x-supernova-tier",
    "user_id": "user",
}
"""Fields and headers with another name than the option that they set."""


def response(error: Exception) -> JSONResponse:
    """Return the error as an answer; what is no fault of the caller or a provider is logged."""
    answer = _json(_failure(error).status, body(error))
    if (seconds := getattr(error, "retry_after", None)) is not None:
        answer.headers["retry-after"] = str(math.ceil(seconds))
    if request_id := getattr(error, "request_id", None):
        answer.headers["x-request-id"] = answer.headers["x-supernova-request-id"] = request_id
    return answer


def http_response(status: int, message: str, *, code: str | None = None) -> JSONResponse:
    """Return an error of HTTP: no such path, a method that it does not have, no token."""
    return _json(status, _error(message, "invalid_request_error", None, code))


def body(error: Exception) -> dict[str, Any]:
    """Return the error as OpenAI's object ``error``."""
    found = _failure(error)
    if found is _INTERNAL:
        where = traceback.extract_tb(error.__traceback__)[-1:]
        log.error(
            "serve.request.failed",
            error=type(error).__name__,
            # The message of an error that is not ours may have a part of a prompt.
            reason=str(error) if isinstance(error, SupernovaError) else None,
            at=", ".join(f"{frame.filename}:{frame.lineno}" for frame in where),
        )
        message = f"the server failed: {type(error).__name__}. Its log has the reason"
        return _error(message, found.type, None, found.code)
    message, param = str(error), None
    if isinstance(error, InvalidRequest):
        message, param = _named(error)
    more: dict[str, Any] = {}
    if isinstance(error, BudgetExceeded):
        more = {
            **{name: f"{getattr(error, name):f}" for name in ("spent", "held", "limit", "left", "needed")},
            "budget": error.budget,
            "resets_at": error.resets_at.isoformat() if error.resets_at else None,
            "temporary": error.temporary,
        }
    if request_id := getattr(error, "request_id", None):
        more["request_id"] = request_id
    return _error(message, found.type, param, found.code, **more)


def _failure(error: Exception) -> Failure:
    return next((failure for kind, failure in FAILURES if isinstance(error, kind)), _INTERNAL)


def _named(error: InvalidRequest) -> tuple[str, str | None]:
    """Return the message with OpenAI's name of the field at its beginning, if there is one, and that name."""
    message = str(error)
    if isinstance(error, UnknownField):
        return message, error.name
    first = found[0] if (found := _FIRST_NAME.match(message)) else ""
    name = _NAMES.get(first, first)
    if name not in (*chat_requests.FIELDS, *embeddings.FIELDS) and not name.startswith(PREFIX):
        return message, None
    return name + message[len(first) :], name


def _error(message: str, kind: str, param: str | None, code: str | None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": redact(message), "type": kind, "param": param, "code": code, **more}}


def _json(status: int, content: dict[str, Any]) -> JSONResponse:
    # What may be tried again was tried again here: if OpenAI's clients did so too, costs would multiply.
    return JSONResponse(content, status, headers={"x-should-retry": "false"})
