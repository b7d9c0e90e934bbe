"""A model's reasoning, separated from its answer, whatever pieces a stream has."""

from __future__ import annotations

import re

_TAGS = ("<think>", "<thinking>", "<budget:thinking>")
"""Tags that open a model's reasoning: those that LiteLLM removes from a whole answer."""

_OPENING = re.compile("|".join(_TAGS))
_CLOSING = re.compile("|".join(_TAGS).replace("<", "</"))
_LONGEST = max(map(len, _TAGS)) + 1


class ReasoningSplitter:
    """Removes the reasoning from one attempt's answer, and keeps it.

    Reasoning in tags is recognised only before the answer, where models write it: a later tag is part of the
    answer. After a tag that is never closed, everything is reasoning. White space between the reasoning and
    the answer belongs to neither.
    """

    def __init__(self) -> None:
        self._reasoning: list[str] = []
        self._held = ""  # possibly the beginning of a tag
        self._in_tag = False
        self._in_answer = False

    @property
    def text(self) -> str | None:
        """The reasoning so far; None if there is none."""
        return "".join(self._reasoning).strip() or None

    def add(self, reasoning: str) -> None:
        """Add a piece of reasoning that the provider sent separately from the answer."""
        self._reasoning.append(reasoning)

    def feed(self, text: str) -> str:
        """Read a piece of the answer; return what is left without reasoning."""
        if self._in_answer:
            return text
        self._held += text
        while True:
            if self._in_tag:
                closed = _CLOSING.search(self._held)
                at, after = closed.span() if closed else (max(0, len(self._held) - _LONGEST),) * 2
                self._reasoning.append(self._held[:at])
                self._held = self._held[after:]
                if not closed:
                    return ""
                self._in_tag = False
            beginning = self._held.lstrip()
            if opened := _OPENING.match(beginning):
                self._held = beginning[opened.end() :]
                self._in_tag = True
            elif any(tag.startswith(beginning) for tag in _TAGS):
                return ""  # it may be the beginning of a tag
            else:
                return self._answer()

    def end(self) -> str:
        """Return the end of the answer that was held back: no more pieces come."""
        if self._in_tag:
            self._reasoning.append(self._held)
            self._held = ""
        return "" if self._in_answer else self._answer()

    def _answer(self) -> str:
        held, self._held = self._held, ""
        self._in_answer = True
        return held.lstrip() if self.text else held
