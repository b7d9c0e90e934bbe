"""Asking again: for the rest of a broken stream, and for an answer of the schema that was asked for."""

from __future__ import annotations

import json

from supernova_ai.types import AnswerSchema, Message

_GO_ON = (
    "Your answer was cut off by a technical fault. Go on with it exactly where it stops, with the very next "
    "word: repeat nothing of it, and write no introduction."
)

_LEAST = 8
"""Characters that must agree before they are taken for a repetition and not for chance."""

_LOOK_BACK = 400
"""Characters at the end of the text shown in which a repetition may begin."""

_AFTER_WORDS = tuple(",;:.!?)%")
"""Marks that close a word, so that a space comes before the next one …"""

_IN_NUMBERS = tuple(",.")
"""… but not before a digit, where they may be a number's own."""


_CORRECT = (
    "Your answer does not have the JSON schema that was asked for: {problems}\nAnswer again with one JSON "
    "object of this schema, and nothing else:\n{schema}"
)

_MOST_PROBLEMS = 2_000
"""The maximum length of the problems in the correction, in characters."""


def correction(
    messages: tuple[Message, ...], shown: str, problems: ValueError, answer: AnswerSchema
) -> tuple[Message, ...]:
    """Return the messages that ask once more for an answer of the schema."""
    schema = json.dumps(answer.response_format["json_schema"]["schema"])
    words = _CORRECT.format(problems=str(problems)[:_MOST_PROBLEMS], schema=schema)
    return (*messages, {"role": "assistant", "content": shown}, {"role": "user", "content": words})


def continuation(messages: tuple[Message, ...], shown: str) -> tuple[Message, ...]:
    """Return the messages that ask for the rest of an answer."""
    return (*messages, {"role": "assistant", "content": shown}, {"role": "user", "content": _GO_ON})


class ResumeJoiner:
    """Joins the rest of an answer to the text shown, however it is cut into pieces.

    Text that the rest repeats is dropped: the end of the text shown, or all of it from the start. Text is
    held back while it may be such a repetition. A space separates two words that would run into one.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._tail = shown[-_LOOK_BACK:]
        self._held: str | None = ""  # None: the texts are joined, and the rest passes through

    def feed(self, text: str) -> str:
        """Take a piece of the rest; return the text to show."""
        if self._held is None:
            return text
        self._held += text
        return "" if self._may_repeat(self._held) else self._close()

    def end(self) -> str:
        """Return the text that is still held back: the rest ended."""
        return "" if self._held is None else self._close()

    def _may_repeat(self, held: str) -> bool:
        return self._shown.startswith(held) or held in self._tail

    def _close(self) -> str:
        held, self._held = self._held or "", None
        if held.startswith(self._shown) and not _run_together(self._shown[-1:], held[len(self._shown) :][:1]):
            return held[len(self._shown) :]
        most = min(len(held), len(self._tail))
        for length in range(most, _LEAST - 1, -1):
            if self._tail.endswith(held[:length]):
                return held[length:]
        return f" {held}" if _run_together(self._shown[-1:], held[:1]) else held


def _run_together(before: str, after: str) -> bool:
    """Return whether a space is missing between two characters; a number may continue."""
    if after.isdigit() and (before.isdigit() or before in _IN_NUMBERS):
        return False
    return after.isalnum() and (before.isalnum() or before in _AFTER_WORDS)
