"""Languages: the texts of advice are data, one file for each language in ``languages``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict

from supernova_ai.advisor.checks import one_of
from supernova_ai.advisor.currency import DOLLARS
from supernova_ai.advisor.facts import Fact, Unit, rounded_value
from supernova_ai.config.advice import LanguageCode

ByDegree = str | tuple[str, str, str]
"""A text, or three: below, inside and above a range; negative, zero and positive; or for three clients."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Notation(_Data):
    """How numbers, prices, days and times are written."""

    decimal: str
    thousands: str
    percent: str
    dollars: str
    currency: str
    quote: str
    months: tuple[str, ...]
    date: str
    time: str


class PeriodWords(_Data):
    """The words for the period of a bar: in a name, several of them, the last one, an ordinary one."""

    name: str
    several: str
    last: str
    ordinary: str


class FactText(_Data):
    """The name of a fact, and where the fact comes from.

    ``article`` is that of the name. ``object`` is the name after above and below, if it differs there.
    """

    name: str
    article: str = ""
    object: str | None = None
    source: str


class Comparison(_Data):
    """The statements that compare two facts; ``owned`` is the name of a fact beside its owner."""

    above: str
    below: str
    level: str
    gap: str
    owned: Mapping[str, str]


class Moves(_Data):
    """The statements about a change; ``what`` has what changed, as a subject."""

    rose: str
    fell: str
    unchanged: str
    over: str
    what: Mapping[str, str]
    other: str


class NewsTexts(_Data):
    """How a news item is shown: as a value, and as a statement that names who reported it."""

    value: str
    reported: str


class Statements(_Data):
    """The statements about one fact: in general, and of some facts; also by the value, its range or sign."""

    usual: Mapping[Literal["number", "day", "words"], str]
    of: Mapping[str, ByDegree | Mapping[str, str]]


class ActionTexts(_Data):
    """What an action means: the decision, why, and what the client does, by what the client holds."""

    decision: Mapping[str, str]
    why: str
    position: Mapping[str, ByDegree]


class RationaleTexts(_Data):
    """The headings, and the sentences that only we write; ``scored`` is what the score is of."""

    titles: Mapping[str, str]
    signs: Mapping[str, str]
    decision: str
    confidence: str
    position: str
    clients: tuple[str, str, str]
    scored: Mapping[Literal["signals", "news"], str]
    regimes: Mapping[str, str]
    signals: Mapping[str, str]
    classes: Mapping[str, str]
    other: Mapping[str, str]


class PortfolioTexts(_Data):
    """The notes on several symbols."""

    large: str
    spread: str
    alike: str
    together: str


class Language(_Data):
    """The texts and the notation of one language."""

    name: str
    notation: Notation
    articles: Mapping[str, tuple[str, ...]]
    """For each article its forms: of a subject, after above and below, and any other."""
    usual_article: str
    periods: Mapping[str, PeriodWords]
    values: Mapping[str, Mapping[str, str]]
    """The words for the values of a fact, such as the market regime."""
    facts: Mapping[str, FactText]
    statements: Statements
    news: NewsTexts
    comparison: Comparison
    moves: Moves
    notes: Mapping[str, str]
    actions: Mapping[str, ActionTexts]
    rationale: RationaleTexts
    portfolio: PortfolioTexts

    def fact(
        self, id_: str, value: float | date | str, unit: Unit = "number", *, bar: str = "bar", **more: Any
    ) -> Fact:
        """Return a fact with its name and source; ``bar`` is the period of the bars."""
        text = self.facts[id_]
        name = text.name.format(p=self.periods[bar].name)
        return Fact(id_, value, name=name, source=text.source, unit=unit, **more)

    def value(self, fact: Fact) -> str:
        """Return the value as text; a fact looks the same everywhere."""
        if isinstance(fact.value, str):
            if fact.id not in self.facts:  # the caller's words, not ours
                return self.notation.quote.format(text=fact.value)
            return self.values.get(fact.id, {}).get(fact.value, fact.value)
        if isinstance(fact.value, date):
            return self.day(fact.value)
        number = rounded_value(fact)
        if fact.unit == "price":
            return self._price(number, fact.currency)
        shown = self.number(number)
        return self.notation.percent.format(value=shown) if fact.unit == "percent" else shown

    def number(self, number: Decimal | int) -> str:
        """Return a number with the marks of the language."""
        marks = {",": self.notation.thousands, ".": self.notation.decimal}
        return "".join(marks.get(character, character) for character in f"{Decimal(number):,f}")

    def day(self, moment: date) -> str:
        """Return a day, and the time of day unless it is midnight."""
        notation = self.notation
        day = notation.date.format(day=moment.day, month=notation.months[moment.month - 1], year=moment.year)
        if not isinstance(moment, datetime) or moment.time() == time.min:
            return day
        return notation.time.format(date=day, time=f"{moment:%H:%M}")

    def statement(self, fact: Fact) -> str:
        """Return what a fact says if no text of ours is about this fact."""
        kind: Literal["number", "day", "words"] = "number"
        if isinstance(fact.value, date | str):
            kind = "day" if isinstance(fact.value, date) else "words"
        return self.statements.usual[kind].format(name=self.subject(fact, fact.name), value=self.value(fact))

    def subject(self, fact: Fact, named: str) -> str:
        """Return the name of a fact, or a text that begins with it, with the article of a subject."""
        return self._with_article(fact, named, 0)

    def object(self, fact: Fact, named: str) -> str:
        """Return the same with the article after above and below."""
        return self._with_article(fact, self._as_object(fact, named), 1)

    @property
    def has_cases(self) -> bool:
        """Whether an article has another form after above and below."""
        return any(len(set(forms)) > 1 for forms in self.articles.values())

    def forms(self, fact: Fact) -> tuple[str, ...]:
        """Return the forms of the article of a fact's name, if it is known."""
        text = self.facts.get(fact.id)
        return self.articles.get(text.article, ()) if text else ()

    def after(self, article: str, fact: Fact, named: str) -> str:
        """Return the name of a fact, or a text that begins with it, as it is after a form of its article."""
        is_object = article in self.forms(fact)[1:2] and article not in self.forms(fact)[:1]
        return self._as_object(fact, named) if is_object else named

    def _as_object(self, fact: Fact, named: str) -> str:
        text = self.facts.get(fact.id)
        return f"{text.object}{named.removeprefix(fact.name)}" if text and text.object else named

    def _with_article(self, fact: Fact, named: str, place: int) -> str:
        text = self.facts.get(fact.id)
        article = text.article if text and text.article else self.usual_article
        return f"{self.articles[article][place]} {named}" if article else named

    def _price(self, number: Decimal, currency: str) -> str:
        form = self.notation.dollars if currency in DOLLARS else self.notation.currency
        sign = "-" if number < 0 else ""
        return sign + form.format(value=self.number(abs(number)), currency=currency)


def language(code: LanguageCode = "en") -> Language:
    """Return the texts of a language.

    Raises:
        InvalidRequest: there is no such language.
    """
    one_of("language is", code, get_args(LanguageCode))
    return _read(code)


@cache
def _read(code: LanguageCode) -> Language:
    path = files("supernova_ai.advisor") / "languages" / f"{code}.yaml"
    return Language.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def by_degree(text: ByDegree, degree: int) -> str:
    """Return the text for a degree: 0, 1 or 2."""
    return text if isinstance(text, str) else text[degree]
