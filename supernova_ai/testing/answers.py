"""What a stub provider can be told to do with a request, and what an answer then comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from supernova_ai.types import Usage

Body = Mapping[str, Any]
"""The JSON of a request or an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a text, streamed word by word if the request asks for a stream.

    Like a provider it stops at the request's max_tokens, a word being a token. ``usage`` is counted in words
    unless given. With a ``gate`` a plain answer waits before it is sent, and a stream after its first
    token, until the gate is set.
    """

    text: str
    usage: Usage | None = None
    gate: Event | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Answer with an HTTP error, its body in the shape of the provider that is asked.

    Without a message it is what that provider says: LiteLLM knows some of OpenAI's errors by their words.
    """

    status: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """Answer with exactly this: a recorded body, say."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer; the connection stays open until the stub closes."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection: before the answer, or in a stream after that many tokens of ``text``."""

    after_tokens: int = 0
    text: str = "This answer will never reach its end."


Step = Answer | Failure | Raw | Hang | Reset
"""What to do with one request."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model says to one request, before a dialect writes it down."""

    model: str
    tokens: tuple[str, ...]
    cut: bool
    usage: Usage

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def complete(answer: Answer, request: Body, max_tokens: int | None) -> Completion:
    """Return what the answer comes to for this request: cut at max_tokens, its usage counted."""
    tokens = tuple(re.findall(r"\s*\S+|\s+$", answer.text))
    kept = tokens[:max_tokens]
    prompt = _words(request.get("system")) + _words(request.get("messages"))
    return Completion(
        model=str(request.get("model", "")),
        tokens=kept,
        cut=len(kept) < len(tokens),
        usage=answer.usage or Usage(prompt=prompt, completion=len(kept)),
    )


def _words(content: object) -> int:
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(_words(part) for part in content)
    if isinstance(content, dict):
        return _words(content.get("content") or content.get("text"))
    return 0
