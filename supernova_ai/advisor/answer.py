"""What a model answers: sentences with slots, in three sections; read from JSON, or else from prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, Field

from supernova_ai.advisor.grounding.check import Part
from supernova_ai.requests.structured import partial

_MOST_CHARACTERS = 20_000
"""How much of an answer is read."""

MOST_SENTENCES = 8
"""How many sentences of a section are read."""

_SLOTTED = "Sentences with slots such as {close.vs.sma_50}, and without figures or names. "
_TITLES: tuple[tuple[Part, tuple[str, ...]], ...] = (
    ("against", ("against", "bad")),
    ("risk", ("risk",)),
    ("for", ("for", "why", "good", "reason", "support")),
)
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_BULLET = re.compile(r"[\s*•#>\"'-]*(?:\d{1,2}[.)](?=\s))?\s*")


class Answer(BaseModel):
    """The sections of a rationale; in each, one to three sentences."""

    for_it: list[str] = Field(description=f"{_SLOTTED}What speaks for the decision, or the good signs.")
    against_it: list[str] = Field(description=f"{_SLOTTED}What speaks against it, or the bad signs.")
    risk: list[str] = Field(description=f"{_SLOTTED}How much the price moves, and what that means.")


_FIELDS: dict[str, Part] = {"for_it": "for", "against_it": "against", "risk": "risk"}


def read_answer(text: str) -> dict[Part, list[str]]:
    """Return the sentences of each section; an answer without any gives empty sections.

    >>> read_answer('{"for_it": ["{macd.is}."], "against_it": [], "risk": "{atr_14.is}."}')
    {'for': ['{macd.is}.'], 'against': [], 'risk': ['{atr_14.is}.']}
    """
    text = text[:_MOST_CHARACTERS]
    found = _from_json(text)
    sections: dict[Part, list[str]] = {"for": [], "against": [], "risk": []}
    for part, written in _from_prose(text) if found is None else _from_object(found):
        for sentence in _ENDS.split(written.replace("**", "")):
            plain = _plain(sentence)
            if any(character.isalpha() for character in plain) and len(sections[part]) < MOST_SENTENCES:
                sections[part].append(plain)
    return sections


def _from_json(text: str) -> Mapping[str, Any] | None:
    start = text.find("{")
    if start < 0 or not any(f'"{name}"' in text for name in _FIELDS):
        return None
    for candidate in (text[start:], text[start : text.rfind("}") + 1]):
        found = partial(candidate)  # also of JSON that was cut off
        if isinstance(found, Mapping):
            return found
    return None


def _from_object(found: Mapping[str, Any]) -> Iterator[tuple[Part, str]]:
    for name, part in _FIELDS.items():
        value = found.get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                yield part, each


def _from_prose(text: str) -> Iterator[tuple[Part, str]]:
    part: Part | None = None
    for line in text.splitlines():
        title = line.strip().strip("#*: ").lower()
        if title and (line.lstrip().startswith(("#", "**")) or line.rstrip().endswith(":")):
            part = next((each for each, words in _TITLES if any(word in title for word in words)), None)
        elif part is not None:
            yield part, line


def _plain(sentence: str) -> str:
    return _BULLET.sub("", sentence, count=1).strip().strip("\"'")
