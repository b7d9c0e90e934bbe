"""Read the dates of a text, however they are written, and find them among the facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.report import Claim

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|"
    r"Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_YEAR = r"(?P<year>(?:19|20)\d\d)\b"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b(?![.,]?\d|\s?%)"
_IS = r"(?:is|was|from|of|on|at|dated|dates|came|the|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\W+"
_FORMS = [
    re.compile(form)
    for form in (
        r"\b(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})(?:T\d\d:\d\d(?::\d\d)?Z?)?\b",
        r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})\b",
        r"\b(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})\b",
        rf"(?<![\d.])\b{_DAY}(?: of)? {_MONTH},?(?: {_YEAR})?",
        rf"\b{_MONTH} {_DAY}(?:,? {_YEAR})?",
        rf"\b{_MONTH},? (?:of )?{_YEAR}",
        r"\bQ(?P<quarter>[1-4])(?: (?:of )?(?P<year>(?:19|20)\d\d))?\b",
        rf"\b(?i:in|since|of|by|until|from|during|through|year) {_YEAR}(?![.,]\d|\s?%)",
        rf"\b(?i:in|since|by|until|from|during|through|early|late|mid|last) {_MONTH}(?!\w)",
        r"\b(?P<weekday>Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b",
    )
]


def date_claims(text: str, facts: Iterable[Fact]) -> Iterator[Claim]:
    """Yield a claim for each date, month, quarter, year or weekday: grounded if a fact's date is in it."""
    facts = tuple(facts)
    known = list(_known(facts))
    taken: list[tuple[int, int]] = []
    for form in _FORMS:
        for match in form.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            meant = _meant(text[max(0, match.start() - 60) : match.start()].lower(), facts)
            sources = [
                source
                for day, source in known
                if _within(day, match.groupdict()) and (not meant or source == meant)
            ]
            dates = ", ".join(sorted({day.isoformat() for day, _ in known})) or "none"
            yield Claim(
                match[0],
                match.start(),
                match.end(),
                "date",
                "grounded" if sources else "unsupported",
                sources[0] if sources else f"not a date in the facts; the dates are: {dates}",
            )


def _meant(before: str, facts: Iterable[Fact]) -> str | None:
    """Return the id of the date whose name these words end with: "the first bar is of"."""
    for fact in facts:
        if fact.unit == "date" and re.search(rf"\b{re.escape(fact.label.lower())}\W+(?:{_IS})*$", before):
            return fact.id
    return None


def _known(facts: Iterable[Fact]) -> Iterator[tuple[date, str]]:
    for fact in facts:
        if isinstance(fact.value, date):
            yield date.fromisoformat(fact.value.isoformat()[:10]), fact.id
        for written in re.findall(r"\b\d{4}-\d{2}-\d{2}\b", f"{fact.label} {fact.source}"):
            yield date.fromisoformat(written), f"the source of {fact.id}"


def _within(day: date, parts: dict[str, str | None]) -> bool:
    month, number, year = parts.get("month"), parts.get("day"), parts.get("year")
    quarter, weekday = parts.get("quarter"), parts.get("weekday")
    return (
        (not month or day.month == (int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1))
        and (not number or day.day == int(number))
        and (not year or day.year == int(year))
        and (not quarter or (day.month + 2) // 3 == int(quarter))
        and (not weekday or _DAYS[day.weekday()].startswith(weekday.lower()))
    )
