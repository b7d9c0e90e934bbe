"""The closed vocabulary of a language: a reviewed list of word forms, each with its class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.slots import Slot

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A word or phrase, a slot, or a punctuation mark. A word that names a fact, such as "price", has a slot.

    ``kind`` is the class of a word, "slot", or the mark; ``marks`` say more about a word.
    """

    text: str
    kind: str
    marks: tuple[str, ...] = ()
    slot: Slot | None = None
    case: Literal["", "subject", "object"] = ""  # of a name, in a language with cases

    @property
    def is_statement(self) -> bool:
        """Whether it is a slot that is a whole clause."""
        return self.slot is not None and self.slot.is_statement

    @property
    def fact(self) -> Fact | None:
        """The one fact that it names."""
        return self.slot.facts[0] if self.slot and not self.slot.is_statement else None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The word of each form or phrase; a word of the class "instead" has the words to read in its place."""

    words: Mapping[Phrase, Token]
    longest: int

    def read(self, texts: Sequence[str]) -> Iterator[Token]:
        """Yield the words of a text, the longest phrases first; a word that is not listed has no class."""
        at = 0
        while at < len(texts):
            phrases = (tuple(texts[at : at + length]) for length in range(self.longest, 0, -1))
            phrase = next((each for each in phrases if each in self.words), (texts[at],))
            word = self.words.get(phrase, Token(texts[at], ""))
            yield from self.read(word.marks) if word.kind == "instead" else (word,)
            at += len(phrase)


def parse(text: str) -> Vocabulary:
    """Read a list: "[class mark …]" begins a class, "_" joins a phrase, and "#" begins a comment.

    Raises:
        ValueError: a word is listed twice, or before the first class.
    """
    words: dict[Phrase, Token] = {}
    heading: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            heading = line.strip("[]").split()
        elif not line.startswith("#"):
            for form in line.split():
                phrase = tuple(form.split("_"))
                if not heading or phrase in words:
                    raise ValueError(f"the vocabulary lists {form!r} twice, or without a class")
                words[phrase] = Token(" ".join(phrase), heading[0], tuple(heading[1:]))
    return Vocabulary(words, max(map(len, words), default=1))


@cache
def vocabulary(language: str = "en") -> Vocabulary:
    """Return the vocabulary of a language."""
    path = files("supernova_ai.advisor") / "vocabulary" / f"{language}.txt"
    return parse(path.read_text(encoding="utf-8"))
