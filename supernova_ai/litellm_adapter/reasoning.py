"""A model's thoughts, told apart from its answer, in whatever pieces both come."""

from __future__ import annotations

import re

_TAGS = ("<think>", "<thinking>", "<budget:thinking>")
"""Tags that open a model's thoughts: those that LiteLLM takes out of a whole answer."""

_OPENING = re.compile("|".join(_TAGS))
_CLOSING = re.compile("|".join(_TAGS).replace("<", "</"))
_LONGEST = max(map(len, _TAGS)) + 1


class ReasoningSplitter:
    """Takes the thoughts out of one attempt's answer.

    Thoughts in tags are recognised only before the answer, where reasoning models write them: later, a tag
    is what the answer is about. A tag that is never closed makes all of the rest thoughts. White space
    between the thoughts and the answer belongs to neither.
    """

    def __init__(self) -> None:
        self._said: list[str] = []
        self._held = ""  # what may be a part of a tag
        self._thinking = False
        self._answering = False

    @property
    def text(self) -> str | None:
        """The thoughts so far, None if there are none."""
        return "".join(self._said).strip() or None

    def note(self, thought: str) -> None:
        """Take a piece of thoughts that the provider itself sent apart from the answer."""
        self._said.append(thought)

    def feed(self, text: str) -> str:
        """Take a piece of the answer; return what of it is no thought."""
        if self._answering:
            return text
        self._held += text
        while True:
            if self._thinking:
                closed = _CLOSING.search(self._held)
                at, after = closed.span() if closed else (max(0, len(self._held) - _LONGEST),) * 2
                self._said.append(self._held[:at])
                self._held = self._held[after:]
                if not closed:
                    return ""
                self._thinking = False
            beginning = self._held.lstrip()
            if opened := _OPENING.match(beginning):
                self._held = beginning[opened.end() :]
                self._thinking = True
            elif any(tag.startswith(beginning) for tag in _TAGS):
                return ""  # it may become a tag
            else:
                return self._answer()

    def end(self) -> str:
        """Return what is still held back of the answer: nothing more comes."""
        if self._thinking:
            self._said.append(self._held)
            self._held = ""
        return "" if self._answering else self._answer()

    def _answer(self) -> str:
        held, self._held = self._held, ""
        self._answering = True
        return held.lstrip() if self.text else held
