"""Every fault of a provider by name, for tests that must pass with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supernova_ai.testing.answers import Answer, Cut, Failure, Flood, Garbled, Hang, Raw, Refusal, Reset, Step
from supernova_ai.types import Usage

_TEXT = "Diversify, and do it before you need to."
_HTML = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Wait.</body></html>"


@dataclass(frozen=True, slots=True)
class Toxin:
    """One fault.

    Attributes:
        step: what the stub does.
        kind: the class of the resulting error or a base class of it; None if it differs between providers.
        after_content: some tokens of a stream arrive before the fault. The error is then StreamInterrupted,
            unless the call's own timeout ended it.
        streams_only: a plain call is not affected.
        intact: the whole answer arrives.
    """

    step: Step
    kind: str | None = None
    after_content: bool = False
    streams_only: bool = False
    intact: bool = False


_STATUSES: Mapping[int, str | None] = {
    400: "RequestRejected",
    401: "AuthenticationFailed",
    402: None,
    403: "AuthenticationFailed",
    404: "ModelNotFound",
    408: "ProviderTimeout",
    413: "ContextTooLong",
    429: "RateLimited",
    500: "ProviderUnavailable",
    502: "ProviderUnavailable",
    503: "ProviderUnavailable",
    529: "ProviderUnavailable",
}

TOXINS: Mapping[str, Toxin] = {
    "reset_before_headers": Toxin(Reset(), "ProviderUnavailable"),
    "reset_after_headers": Toxin(Reset(0), "ProviderUnavailable"),
    "reset_midway": Toxin(Reset(2), "ProviderUnavailable", after_content=True),
    "hang_before_headers": Toxin(Hang(), "ProviderTimeout"),
    "hang_after_headers": Toxin(Hang(0), "ProviderTimeout"),
    "hang_midway": Toxin(Hang(2), "ProviderTimeout", after_content=True),
    "slow_drip": Toxin(Answer(_TEXT, pause=0.2), after_content=True),
    "close_after_headers": Toxin(Cut(0), "ProviderUnavailable"),
    "close_midway": Toxin(Cut(2), "ProviderUnavailable", after_content=True),
    "cut_midway": Toxin(Cut(2, complete=True), "ProviderUnavailable", after_content=True),
    "empty_body": Toxin(Cut(0, complete=True), "ProviderUnavailable"),
    "garbled": Toxin(Garbled(2), after_content=True),
    "html_page": Toxin(Raw(200, "text/html; charset=utf-8", _HTML), "ProviderUnavailable"),
    "flood": Toxin(Flood(50_000_000), after_content=True, intact=True),
    "endless_flood": Toxin(Flood(), after_content=True),
    **{f"http_{status}": Toxin(Failure(status), kind) for status, kind in _STATUSES.items()},
    "http_429_retry_after": Toxin(Failure(429, headers={"retry-after": "1"}), "RateLimited"),
    "context_too_long": Toxin(Refusal("length"), "RequestRejected"),
    "content_refused": Toxin(Refusal("content"), "RequestRejected"),
    "credit_spent": Toxin(Refusal("credit")),
    "error_event_first": Toxin(Failure(529, after_tokens=0), streams_only=True),
    "error_event_midway": Toxin(Failure(529, after_tokens=2), after_content=True, streams_only=True),
    "usage_absurd": Toxin(Answer(_TEXT, Usage(10**12, 10**12)), intact=True),
    "usage_zero": Toxin(Answer(_TEXT, Usage()), intact=True),
    "usage_negative": Toxin(Answer(_TEXT, Usage(-100, -50)), intact=True),
    "usage_missing": Toxin(Answer(_TEXT, "missing"), intact=True),
    "key_echoed": Toxin(Failure(401, "Incorrect API key provided: {key}."), "AuthenticationFailed"),
}
"""Every fault by its name, except a refused connection: for that, use ``closed_port``."""
