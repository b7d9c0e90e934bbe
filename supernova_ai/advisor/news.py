"""News items as facts: a rationale may report them, with source and date; they change nothing else."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from supernova_ai.advisor import checks
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.language import Language
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

_MOST_ITEMS = 20
_PARTS = ("headline", "source", "date")
QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»＂″', "'"))
"""In a quotation these would end it, and what follows would read as our own words."""


@dataclass(frozen=True, slots=True)
class NewsItem:
    """A report that the client read.

    >>> NewsItem("Sales rose by a tenth", "Reuters", datetime.date(2026, 11, 20)).source
    'Reuters'

    Args:
        headline: at most 200 characters on one line.
        source: who reported it.
        date: the day, or the time in UTC, of the report.
    """

    headline: str
    source: str
    date: datetime.date


def read_news(given: Any) -> tuple[NewsItem, ...]:
    """Return news items, checked; a text is no item, and gives none.

    Args:
        given: a text, items, or dicts of their fields.

    Raises:
        InvalidRequest: a field is wrong; the message names the item and what is right.
    """
    if isinstance(given, str):
        return ()
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise InvalidRequest(f"news must be a text, or a list of NewsItem, not {quoted(given)}")
    if len(given) > _MOST_ITEMS:
        raise InvalidRequest(f"{len(given):,} news items are too many: give at most {_MOST_ITEMS}")
    return tuple(_read(f"news[{number}]", one) for number, one in enumerate(given))


def news_facts(news: Sequence[NewsItem], texts: Language) -> Iterator[Fact]:
    """Yield the items as the facts ``news_1``, ``news_2`` and so on."""
    for number, item in enumerate(news, 1):
        fact = texts.fact("news", item.headline, as_of=item.date)
        yield replace(fact, id=f"news_{number}", source=item.source)


def is_news(fact: Fact) -> bool:
    """Whether a fact is a news item."""
    return re.fullmatch(r"news_\d+", fact.id) is not None


def _read(place: str, given: Any) -> NewsItem:
    if isinstance(given, NewsItem):
        given = {name: getattr(given, name) for name in _PARTS}
    part = checks.parts(place, given, _PARTS)
    if missing := [name for name in _PARTS if part.get(name) is None]:
        raise InvalidRequest(f"{place} has no {missing[0]}: it needs {', '.join(_PARTS)}")
    return NewsItem(
        checks.line(f"{place} has headline", part["headline"], 200).translate(QUOTES),
        checks.line(f"{place} has source", part["source"], 60, braces=False).translate(QUOTES),
        checks.moment(f"{place} has date", part["date"]),
    )
