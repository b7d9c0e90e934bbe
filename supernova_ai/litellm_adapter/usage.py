"""Token counts: as providers report them, and as LiteLLM's tokenizers count texts and messages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import litellm

from supernova_ai.types import Usage


def token_count(value: object) -> int:
    """Return a reported number of tokens, a fraction rounded up; 0 for a value that is no number.

    >>> [token_count(value) for value in (12, "12", 8.5, None, True, -5, "many", [3])]
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


def usage_of(report: Any) -> Usage | None:
    """Read a report of usage, LiteLLM's or a provider's; None if it has no tokens.

    Cached and written tokens are part of the prompt, and reasoning is part of the completion. Where the
    numbers contradict that, each token counts once, at the dearer of its rates. Tokens that only the total
    includes count as completion.
    """
    prompt, completion = _tokens(report, "prompt_tokens"), _tokens(report, "completion_tokens")
    if not (prompt or completion):
        return None
    details = _get(report, "prompt_tokens_details")
    cached = max(_tokens(details, "cached_tokens"), _tokens(report, "cache_read_input_tokens"))
    by_lifetime = _get(details, "cache_creation_token_details") or _get(report, "cache_creation")
    for_an_hour = _tokens(by_lifetime, "ephemeral_1h_input_tokens")
    written = max(
        for_an_hour,
        _tokens(report, "cache_creation_input_tokens"),
        _tokens(details, "cache_write_tokens"),
        _tokens(details, "cache_creation_tokens"),
    )
    if max(cached, written) > prompt:  # a part exceeds the whole: the prompt's count does not include it
        prompt += cached + written
    reasoning = _tokens(_get(report, "completion_tokens_details"), "reasoning_tokens")
    total = _tokens(report, "total_tokens")
    if reasoning and (reasoning > completion or total == prompt + completion + reasoning):
        completion += reasoning  # likewise
    completion = max(completion, total - prompt)  # Gemini counts reasoning only in the total
    cached = min(cached, prompt - written)  # a token that is written was not read: writing is dearer
    return Usage(prompt, completion, cached, written, reasoning, for_an_hour)


def count_tokens(
    model: str, *, text: str | None = None, messages: Iterable[Mapping[str, Any]] | None = None
) -> int:
    """Count the tokens of a text or of messages by LiteLLM's tokenizer for the model."""
    sent = None if messages is None else [dict(message) for message in messages]
    return int(litellm.token_counter(model=model, text=text, messages=sent))


def clean_report(report: object) -> dict[str, Any]:
    """Return the report with every count of tokens as a whole number: LiteLLM adds them up unchecked."""
    return (
        {name: _cleaned(name, value) for name, value in report.items()} if isinstance(report, Mapping) else {}
    )


def _cleaned(name: str, value: Any) -> Any:
    if name == "tokens" and isinstance(value, Mapping):  # Cohere's counts, besides those that it bills
        return clean_report(value)
    if name.endswith(("tokens", "TokenCount")):
        return token_count(value)
    if name.endswith(("_details", "cache_creation")) and not hasattr(value, "model_dump"):
        return clean_report(value)
    return value


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _tokens(report: Any, name: str) -> int:
    return token_count(_get(report, name))
