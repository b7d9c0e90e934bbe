"""Slots: a sentence refers to facts, as ``{sma_50}`` or ``{close.vs.sma_50}``; we write names and values.

A slot's text holds the name and the value together, or a whole statement that is computed from the facts. So
no name, value, unit, sign or period can be wrong or swapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from supernova_ai.advisor.facts import Fact, comparable, compare, rounded_value
from supernova_ai.advisor.language import Language, PeriodWords, language
from supernova_ai.advisor.news import is_news
from supernova_ai.errors import InvalidRequest

Form = Literal["value", "name", "move", "is", "vs", "note"]

_SLOT = re.compile(r"\{\s*([a-z]\w{0,63})(?:\.([a-z]+)(?:\.(\w{1,64}))?)?\s*\}", re.ASCII)
_NEEDED = re.compile(r"\{(\w+)")
_FORMS = (
    "{id}, {id.name}, {id.is}, {id.move} of a change, {id.vs.id} of two comparable facts, and {note.name}"
)
_HIDDEN = ("action",)
"""Facts without a slot: only we may write what to do."""

_RANGES = {
    "rsi_14": ("rsi_14", "rsi_oversold", "rsi_overbought"),
    "bollinger_b": ("close", "bollinger_lower", "bollinger_upper"),
}
"""Facts whose statement says whether a value is below, inside or above a range."""

_OWNERS = {"macd_signal": "macd", "obv_mean_20": "obv"}
"""Facts that have a shorter name beside their owner: "its signal line"."""

_MEANINGLESS = ("obv", "obv_mean_20")
"""Facts whose figures mean nothing to a reader: a comparison has the names alone."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One reference to facts. ``name`` is that of a note."""

    form: Form
    facts: tuple[Fact, ...]
    name: str = ""

    @property
    def is_statement(self) -> bool:
        """Whether its text is a whole clause, with a subject and a verb."""
        return self.form in ("move", "is", "vs", "note")


class UnknownSlot(InvalidRequest):
    """A slot names no fact, or a form that its fact does not have."""


class FactTable(Mapping[str, Fact]):
    """Facts by id, and the texts of their slots in one language."""

    def __init__(self, facts: Iterable[Fact], texts: Language | None = None) -> None:
        self._facts = {fact.id: fact for fact in facts}
        self.language = texts or language()

    def __getitem__(self, id_: str) -> Fact:
        return self._facts[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def period(self) -> PeriodWords:
        """The words for the period of a bar."""
        return self.language.periods[str(self._facts["period"].value) if "period" in self._facts else "bar"]

    def number(self, id_: str) -> float | None:
        """Return the value of a fact if it exists and is a number."""
        fact = self._facts.get(id_)
        return fact.number if fact else None

    def shown(self, id_: str) -> str:
        """Return the value of a fact as text."""
        return self.language.value(self[id_])

    def notes(self) -> Iterator[str]:
        """Yield the names of the notes whose facts are in the table."""
        return (name for name, text in self.language.notes.items() if self._has(text))

    def table(self) -> str:
        """Return the numbered table of the facts that have a slot, one per line."""
        facts = (fact for id_, fact in self._facts.items() if id_ not in _HIDDEN)
        rows = (
            f"{number}. {fact.id} | {fact.name} | {self.language.value(fact)} | {fact.source}"
            for number, fact in enumerate(facts, 1)
        )
        return "\n".join(("no. id | fact | value | where it comes from", *rows))

    def slot(self, text: str) -> Slot:
        """Return the slot that a text in braces is.

        Raises:
            UnknownSlot: it is none; the message says why.
        """
        match = _SLOT.fullmatch(text)
        if match is None:
            raise UnknownSlot(f"{text[:80]} is not a slot: the forms are {_FORMS}")
        first, form, second = match.groups()
        if first == "note" and second is None:
            return self._note(text, form)
        fact = self._fact(text, first)
        match form, second:
            case None, None:
                return Slot("value", (fact,))
            case "name", None if not isinstance(fact.value, str):
                return Slot("name", (fact,))
            case "is", None:
                return Slot("is", (fact,))
            case "move", None:
                if fact.change_of is None or fact.number is None:
                    raise UnknownSlot(f"{text}: {first} is not a change; only changes have the form 'move'")
                return Slot("move", (fact,))
            case "vs", str():
                other = self._fact(text, second)
                if not comparable(fact, other):
                    raise UnknownSlot(f"{text}: {first} and {second} cannot be compared")
                return Slot("vs", (fact, other))
        raise UnknownSlot(f"{text}: no such form; the forms are {_FORMS}")

    def text(self, slot: Slot, *, unsigned: bool = False) -> str:
        """Return what a slot shows; ``unsigned``: a change of the price without its sign, after "fell"."""
        if slot.form == "note":
            return self.write(self.language.notes[slot.name])
        fact, *others = slot.facts
        match slot.form:
            case "name":
                return fact.name
            case "move":
                return self._move(fact)
            case "is":
                return self._statement(fact)
            case "vs":
                return self._comparison(fact, others[0])
            case _ if unsigned and fact.change_of == "price":
                return f"{self.unsigned(fact)}{self._over(fact)}"
            case _:
                return self.name_and_value(fact)

    def fill(self, template: str) -> str:
        """Return a text with slots with these filled in."""
        return re.sub(r"\{[^{}]+\}", lambda match: self.text(self.slot(match[0])), template)

    def write(self, template: str, **more: str) -> str:
        """Return one of our own texts, in which names in braces are values of facts, or the texts given."""
        return template.format_map(_Words(self, more))

    def unsigned(self, fact: Fact) -> str:
        """Return the value of a fact without a sign."""
        return self.language.value(fact).removeprefix("-")

    def name_and_value(self, fact: Fact, name: str | None = None) -> str:
        """Return the name of a fact, or the other name given, and its value in parentheses."""
        if is_news(fact):
            return self._news(fact, self.language.news.value)
        value = self.language.value(fact)
        if fact.id == "symbol":
            return value
        sign = "+" if fact.change_of is not None and fact.number is not None and fact.number > 0 else ""
        return f"{name or fact.name} ({sign}{value})"

    def _has(self, template: str) -> bool:
        return all(id_ in self._facts for id_ in _NEEDED.findall(template))

    def _fact(self, text: str, id_: str) -> Fact:
        fact = self._facts.get(id_)
        if fact is None or id_ in _HIDDEN:
            raise UnknownSlot(f"{text}: there is no fact {id_!r}; use only ids of the table")
        return fact

    def _note(self, text: str, name: str | None) -> Slot:
        notes = self.language.notes
        if name is None or name not in notes:
            raise UnknownSlot(f"{text}: there is no such note; the notes are {', '.join(notes)}")
        if missing := [id_ for id_ in _NEEDED.findall(notes[name]) if id_ not in self._facts]:
            raise UnknownSlot(f"{text}: the note needs the fact {missing[0]!r}, which is not in the table")
        return Slot("note", (), name)

    def _news(self, fact: Fact, text: str) -> str:
        date = self.language.day(fact.as_of) if fact.as_of else ""
        return text.format(headline=fact.value, source=fact.source, date=date)

    def _statement(self, fact: Fact) -> str:
        if is_news(fact):
            return self._news(fact, self.language.news.reported)
        template = self._own_statement(fact)
        if template is not None and self._has(template):
            return self.write(template)
        if fact.change_of is not None and fact.number is not None:
            return self._move(fact)
        return self.language.statement(fact)

    def _own_statement(self, fact: Fact) -> str | None:
        """Return our text for the statement of a fact, by its value, range or sign, if there is one."""
        found = self.language.statements.of.get(fact.id)
        if isinstance(found, Mapping):
            return found.get(str(fact.value))
        if found is None or isinstance(found, str):
            return found
        if fact.id not in _RANGES:
            return found[1 + (rounded_value(fact) > 0) - (rounded_value(fact) < 0)]
        ids = _RANGES[fact.id]
        if not all(id_ in self._facts for id_ in ids):
            return None
        value, low, high = (self._facts[id_] for id_ in ids)
        return found[0 if compare(value, low) < 0 else 2 if compare(value, high) > 0 else 1]

    def _move(self, fact: Fact) -> str:
        moves = self.language.moves
        shown = rounded_value(fact)
        form = moves.rose if shown > 0 else moves.fell if shown < 0 else moves.unchanged
        what = moves.what.get(fact.change_of or "") or moves.other.format(what=fact.change_of)
        return form.format(what=what, value=self.unsigned(fact), over=self._over(fact))

    def _over(self, fact: Fact) -> str:
        return self.language.moves.over.format(period=fact.period) if fact.period else ""

    def _comparison(self, fact: Fact, other: Fact) -> str:
        texts, side = self.language.comparison, compare(fact, other)
        form = texts.above if side > 0 else texts.below if side < 0 else texts.level
        first, second = self.language.subject(fact, self._named(fact)), self._object(fact, other)
        return form.format(first=first, second=second, gap=self._gap(fact, other) if side else "")

    def _object(self, fact: Fact, other: Fact) -> str:
        owned = self.language.comparison.owned.get(other.id)
        if owned is None or _OWNERS[other.id] != fact.id:
            return self.language.object(other, self._named(other))
        return self._named(other, owned.format(p=self.period.name))

    def _named(self, fact: Fact, name: str | None = None) -> str:
        if fact.id in _MEANINGLESS:
            return name or fact.name
        return self.name_and_value(fact, name)

    def _gap(self, fact: Fact, other: Fact) -> str:
        """Return the distance in percent of the second, for two prices of the asset; else nothing."""
        first, second = fact.number or 0.0, other.number or 0.0
        if fact.unit != "price" or fact.scale is not None or first <= 0 or second <= 0:
            return ""
        gap = Fact("gap", abs(first / second - 1) * 100, name="", source="", unit="percent")
        return self.language.comparison.gap.format(value=self.language.value(gap))


class _Words(dict[str, Any]):
    """The texts given, and else facts, for ``str.format_map``."""

    def __init__(self, table: FactTable, texts: Mapping[str, str]) -> None:
        super().__init__(texts)
        self._table = table

    def __missing__(self, id_: str) -> PeriodWords | _Shown:
        return self._table.period if id_ == "period" else _Shown(self._table, self._table[id_])


@dataclass(frozen=True, slots=True)
class _Shown:
    """A fact in one of our texts: its value; ``{id.full}`` with its name, ``{id.size}`` without a sign."""

    table: FactTable
    fact: Fact

    def __str__(self) -> str:
        unsigned = self.fact.unit == "percent"
        return self.table.unsigned(self.fact) if unsigned else self.table.language.value(self.fact)

    @property
    def full(self) -> str:
        return self.table.name_and_value(self.fact)

    @property
    def size(self) -> str:
        return self.table.unsigned(self.fact)
