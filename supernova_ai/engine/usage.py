"""Token counts as providers report them: read where they are numbers, left out where they are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from supernova_ai.types import Usage

_REPORTS = {"usage", "usageMetadata"}
"""Names of an answer's report of its tokens."""

_OLLAMA = ("prompt_eval_count", "eval_count")
"""Ollama's counts, which are in no report: they stand beside the answer."""


def count(value: object) -> int:
    """Return a reported number of tokens, a fraction rounded up; 0 for what is none.

    >>> [count(value) for value in (12, "12", 8.5, None, True, -5, "many", [3])]
    [12, 12, 9, 0, 0, 0, 0, 0]
    """
    if type(value) is int:
        return max(0, value)
    if not isinstance(value, float | str):
        return 0
    try:
        return max(0, math.ceil(float(value)))
    except (ValueError, OverflowError):  # a word, an infinity
        return 0


def usage_of(raw: Any) -> Usage | None:
    """Read LiteLLM's usage; None if it reports no tokens.

    Cached and written tokens are part of the prompt, and reasoning is part of the completion. Where the
    numbers say otherwise, each token is counted once, at the dearer of its rates.
    """
    prompt, completion = count(_get(raw, "prompt_tokens")), count(_get(raw, "completion_tokens"))
    if not (prompt or completion):
        return None
    read, spoken = _get(raw, "prompt_tokens_details"), _get(raw, "completion_tokens_details")
    cached = max(count(_get(read, "cached_tokens")), count(_get(raw, "cache_read_input_tokens")))
    written = max(
        count(_get(raw, "cache_creation_input_tokens")),
        count(_get(read, "cache_write_tokens")),
        count(_get(read, "cache_creation_tokens")),
    )
    by_lifetime = _get(read, "cache_creation_token_details") or _get(raw, "cache_creation")
    for_an_hour = count(_get(by_lifetime, "ephemeral_1h_input_tokens"))
    written = max(written, for_an_hour)
    if max(cached, written) > prompt:  # a part is larger than the whole: it was counted beside it
        prompt += cached + written
    reasoning = count(_get(spoken, "reasoning_tokens"))
    total = count(_get(raw, "total_tokens"))
    if reasoning and (reasoning > completion or total == prompt + completion + reasoning):
        completion += reasoning  # likewise
    cached = min(cached, prompt - written)  # what is written is not read: writing is the dearer
    return Usage(prompt, completion, cached, written, reasoning, for_an_hour)


def with_counts(answer: Any) -> Any:
    """Return a provider's JSON with every token count a whole number: LiteLLM loses an answer over others."""
    if isinstance(answer, dict):
        if answer.get("type") == "message":
            answer.setdefault("usage", {})  # LiteLLM reads no answer of Anthropic's without one
        if answer.get("done") is True:
            answer.update({name: count(answer.get(name)) for name in _OLLAMA})  # LiteLLM would make some up
        for name in _REPORTS & answer.keys():
            answer[name] = cleaned(answer[name])
        with_counts(answer.get("message"))  # Anthropic's stream begins with one
    return answer


def cleaned(report: object) -> dict[str, Any]:
    """Return the report without what is no count: LiteLLM adds the numbers up before anyone sees them."""
    return (
        {name: _cleaned(name, value) for name, value in report.items()} if isinstance(report, Mapping) else {}
    )


def _cleaned(name: str, value: Any) -> Any:
    if name.endswith(("tokens", "TokenCount")):
        return count(value)
    if name.endswith(("_details", "cache_creation")) and not hasattr(value, "model_dump"):
        return cleaned(value)
    return value


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
