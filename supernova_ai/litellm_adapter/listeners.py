"""Callbacks that the program registered with LiteLLM: without any, LiteLLM makes no log of a call."""

from __future__ import annotations

import litellm
from litellm._internal_context import is_internal_call

LISTENERS = (
    "callbacks",
    "success_callback",
    "_async_success_callback",
    "failure_callback",
    "_async_failure_callback",
)
"""LiteLLM's lists of callbacks for calls."""


def skip_log_without_listeners() -> None:
    """Have LiteLLM make no log of the calls in this context if no callback would read it.

    LiteLLM makes the log after each call, which takes a third as long as the call itself.
    """
    is_internal_call.set(not has_listeners())


def has_listeners() -> bool:
    """Say whether the program registered a callback with LiteLLM."""
    # "cache" calls nothing: LiteLLM enters it with any cache of its own, such as that for Gemini.
    return any(listener != "cache" for name in LISTENERS for listener in getattr(litellm, name))
