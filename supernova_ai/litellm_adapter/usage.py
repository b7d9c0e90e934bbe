"""Token counts: as providers report them, and as LiteLLM's tokenizers count texts and messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import litellm

from supernova_ai.types import Usage


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
    numbers say otherwise, each token is counted once, at the dearer of its rates. What only the total has is
    taken for completion.
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
    completion = max(completion, total - prompt)  # Gemini counts thoughts in the total alone
    cached = min(cached, prompt - written)  # what is written is not read: writing is the dearer
    return Usage(prompt, completion, cached, written, reasoning, for_an_hour)


def count_tokens(
    model: str, *, text: str | None = None, messages: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Count the tokens of a text or of messages by LiteLLM's tokenizer for the model."""
    sent = None if messages is None else [dict(message) for message in messages]
    return int(litellm.token_counter(model=model, text=text, messages=sent))


def cleaned(report: object) -> dict[str, Any]:
    """Return the report without what is no count: LiteLLM adds the numbers up before anyone sees them."""
    return (
        {name: _cleaned(name, value) for name, value in report.items()} if isinstance(report, Mapping) else {}
    )


def _cleaned(name: str, value: Any) -> Any:
    if name == "tokens" and isinstance(value, Mapping):  # Cohere's counts, beside those that it bills
        return cleaned(value)
    if name.endswith(("tokens", "TokenCount")):
        return count(value)
    if name.endswith(("_details", "cache_creation")) and not hasattr(value, "model_dump"):
        return cleaned(value)
    return value


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
