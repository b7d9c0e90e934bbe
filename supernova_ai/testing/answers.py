"""What a stub provider can be told to do with a request, and what an answer then comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Literal

from supernova_ai.types import Usage

Body = Mapping[str, Any]
"""The JSON of a request or an answer."""


Reason = Literal["length", "content", "credit"]
"""Why a provider refuses a request: the prompt is too long, its content is not allowed, no money is left."""

_DOOMED = "This answer will never reach its end."


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived, secrets included.

    Header names are in lower case; the body is its JSON, or its text if it is not JSON.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def key(self) -> str:
        """The key it carried, in ``x-api-key`` or ``authorization``; empty if none."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def json(self) -> Body:
        """Its JSON object; an empty one if the body is anything else."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a text, streamed word by word if the request asks for a stream.

    Like a provider it stops at the request's max_tokens, a word being a token. ``usage`` is counted in words
    unless given; any number will do, and "missing" leaves it out. With a ``gate`` a plain answer waits before
    it is sent, and a stream after its first token, until the gate is set. ``pause`` is the seconds before
    each token of a stream, or each byte of a plain answer's body.
    """

    text: str
    usage: Usage | Literal["missing"] | None = None
    gate: Event | None = None
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Answer with an HTTP error, its body in the shape of the provider that is asked.

    Without a message it is what that provider says: LiteLLM knows some of OpenAI's errors by their words.
    In a message "{key}" becomes the key that the request carried. With ``after_tokens`` a stream begins well
    (status 200), gives that many tokens of ``text`` and then the error as an event.
    """

    status: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_tokens: int | None = None
    text: str = _DOOMED


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the request in the provider's own words and with its own status."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Raw:
    """Answer with exactly this: a recorded body, say."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


# The next three break off: before the headers (None), after them (0), or after so many tokens of a stream,
# which for a plain answer is the middle of its body.


@dataclass(frozen=True, slots=True)
class Hang:
    """Fall silent, at once or after that many tokens; the connection stays open until the stub closes."""

    after_tokens: int | None = None
    text: str = _DOOMED


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, at once or after that many tokens."""

    after_tokens: int | None = None
    text: str = _DOOMED


@dataclass(frozen=True, slots=True)
class Cut:
    """End the answer politely after that many tokens: the connection closes before HTTP says it may.

    A ``complete`` one is whole by HTTP's measure, so that only its content tells.
    """

    after_tokens: int = 0
    complete: bool = False
    text: str = _DOOMED


@dataclass(frozen=True, slots=True)
class Garbled:
    """Answer, but with broken JSON: in a stream only the event after that many tokens."""

    after_tokens: int = 0
    text: str = "This answer cannot be read."


@dataclass(frozen=True, slots=True)
class Flood:
    """Answer with one token of ``size`` bytes; without a size it never ends."""

    size: int | None = None


Step = Answer | Failure | Refusal | Raw | Hang | Reset | Cut | Garbled | Flood
"""What to do with one request."""

Reply = str | Step | Callable[[Received], str | Step]
"""A text to answer with, a step, or a function of the request that gives either."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model says to one request, before a dialect writes it down; without usage, nor does that."""

    model: str
    tokens: tuple[str, ...]
    cut: bool
    usage: Usage | None

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def complete(answer: Answer, request: Body, max_tokens: int | None) -> Completion:
    """Return what the answer comes to for this request: cut at max_tokens, its usage counted."""
    tokens = tuple(re.findall(r"\s*\S+|\s+$", answer.text))
    kept = tokens[:max_tokens]
    prompt = _words(request.get("system")) + _words(request.get("messages"))
    usage = answer.usage or Usage(prompt=prompt, completion=len(kept))
    return Completion(
        model=str(request.get("model", "")),
        tokens=kept,
        cut=len(kept) < len(tokens),
        usage=None if usage == "missing" else usage,
    )


def _words(content: object) -> int:
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(_words(part) for part in content)
    if isinstance(content, dict):
        return _words(content.get("content") or content.get("text"))
    return 0
