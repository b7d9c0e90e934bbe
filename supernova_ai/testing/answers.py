"""What a stub provider can do with a request, and the completion that an answer gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Literal, NamedTuple

from supernova_ai.types import ToolCall, Usage

Body = Mapping[str, Any]
"""The JSON of a request or an answer."""

Reason = Literal["length", "content", "credit"]
"""Why a provider refuses a request: too long a prompt, content that is not allowed, no credit left."""

_UNFINISHED_TEXT = "This answer will never reach its end."


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived, secrets included.

    Header names are in lower case. The body is its JSON, or its text if it is not JSON.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def key(self) -> str:
        """The key in ``x-api-key`` or ``authorization``; empty if there is none."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def json(self) -> Body:
        """The JSON object of the body; empty if the body is anything else."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with a text, calls of tools or both, streamed word by word if the request asks for a stream.

    A word is a token, and the answer stops at the request's max_tokens. A call is a token for its name, and
    one for each word of its arguments. ``usage`` is counted in these tokens unless it is given; "missing"
    leaves it out. ``reasoning`` comes before the text. ``gate`` holds a plain answer back, or a stream after
    its first token, until it is set. ``pause`` is the time in seconds before each token of a stream, or
    before each byte of a plain answer's body.
    """

    text: str = ""
    usage: Usage | Literal["missing"] | None = None
    gate: Event | None = None
    pause: float = 0.0
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Answer with an HTTP error, with a body in the format of the API that is asked.

    The default message is that of the provider: LiteLLM recognizes some of OpenAI's errors by their text.
    "{key}" in a message becomes the key of the request. With ``after_tokens`` a stream begins (status 200),
    sends that many tokens of ``text`` (or of an ``Answer``), and then the error as an event.
    """

    status: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_tokens: int | None = None
    text: str | Answer = _UNFINISHED_TEXT


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the request with the provider's own status and message."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Raw:
    """Answer with exactly this, for example a recorded body."""

    status: int
    content_type: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


# The next three break off before the headers (None), after them (0), or after that many tokens of a stream;
# a plain answer then breaks off in the middle of its body.


@dataclass(frozen=True, slots=True)
class Hang:
    """Stop sending, at once or after that many tokens; the connection stays open until the stub closes."""

    after_tokens: int | None = None
    text: str | Answer = _UNFINISHED_TEXT


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, at once or after that many tokens."""

    after_tokens: int | None = None
    text: str | Answer = _UNFINISHED_TEXT


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after that many tokens, before the HTTP message is complete.

    With ``complete`` the HTTP message is complete, and only its content shows that the answer is not.
    """

    after_tokens: int = 0
    complete: bool = False
    text: str | Answer = _UNFINISHED_TEXT


@dataclass(frozen=True, slots=True)
class Garbled:
    """Answer with broken JSON; in a stream only the event after that many tokens is broken."""

    after_tokens: int = 0
    text: str = "This answer cannot be read."


@dataclass(frozen=True, slots=True)
class Flood:
    """Answer with one token of ``size`` bytes, or with an endless one."""

    size: int | None = None


Step = Answer | Failure | Refusal | Raw | Hang | Reset | Cut | Garbled | Flood
"""What the stub does with one request."""

Reply = str | Step | Callable[[Received], str | Step]
"""A text to answer with, a step, or a function that returns one of them for a request."""


class Token(NamedTuple):
    """One token, and what it is a piece of: the text, the reasoning, or the tool call at that place.

    The first token of a call is empty: it stands for the name.
    """

    text: str
    part: Literal["text", "reasoning"] | int = "text"


@dataclass(frozen=True, slots=True)
class Completion:
    """The content of an answer, before a dialect formats it. Without usage, the formatted answer has none."""

    model: str
    tokens: tuple[Token, ...]
    truncated: bool
    usage: Usage | None
    asked_calls: tuple[ToolCall, ...] = ()

    @property
    def text(self) -> str:
        return self.written("text")

    @property
    def reasoning(self) -> str:
        return self.written("reasoning")

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as max_tokens allowed."""
        begun = {token.part for token in self.tokens}
        return tuple(
            replace(call, arguments=self.written(place))
            for place, call in enumerate(self.asked_calls)
            if place in begun
        )

    def written(self, part: Literal["text", "reasoning"] | int) -> str:
        """Return what the tokens of this part are together."""
        return "".join(token.text for token in self.tokens if token.part == part)


def completion_for(answer: Answer, request: Body, max_tokens: int | None) -> Completion:
    """Return the completion of an answer to a request: truncated at max_tokens, with its usage counted."""
    tokens = [Token(word, "reasoning") for word in _split(answer.reasoning)]
    tokens += [Token(word) for word in _split(answer.text)]
    for place, call in enumerate(answer.tool_calls):
        tokens += [Token("", place), *(Token(word, place) for word in _split(call.arguments))]
    kept = tuple(tokens[:max_tokens])
    prompt = sum(map(_words, map(request.get, ("system", "messages", "input"))))
    thought = sum(token.part == "reasoning" for token in kept)
    usage = answer.usage or Usage(prompt=prompt, completion=len(kept), reasoning=thought)
    return Completion(
        model=str(request.get("model", "")),
        tokens=kept,
        truncated=len(kept) < len(tokens),
        usage=None if usage == "missing" else usage,
        asked_calls=tuple(answer.tool_calls),
    )


def _split(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _words(content: object) -> int:
    if isinstance(content, str):
        return len(content.split())
    if isinstance(content, list):
        return sum(_words(part) for part in content)
    if isinstance(content, dict):
        return _words(content.get("content") or content.get("text"))
    return 0
