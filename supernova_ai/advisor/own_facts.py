"""The caller's own facts, checked: a rationale may state them; they change nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any, get_args

from supernova_ai.advisor import checks
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.language import language
from supernova_ai.advisor.news import QUOTES
from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

MOST_FACTS = 50

_FIELDS = [field.name for field in fields(Fact)]
_ID = re.compile(r"[a-z]\w{0,63}", re.ASCII)
_OURS = re.compile(r"note|news_\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.+Z-]+)?")
_END = re.compile(r"[.!?;:](?:\s|$)")
_SMALLEST = 1e-12


def read_facts(given: Any) -> tuple[Fact, ...]:
    """Return the caller's facts, checked. A text such as 2026-11-20 is a date.

    Args:
        given: facts, or dicts of their fields.

    Raises:
        InvalidRequest: a field is wrong; the message names the fact and what is right.
    """
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidRequest(f"facts is {quoted(given)}: give a list of Fact, or of dicts of its fields")
    if len(given) > MOST_FACTS:
        raise InvalidRequest(f"{len(given):,} facts are too many: give at most {MOST_FACTS}")
    facts: dict[str, Fact] = {}
    for number, one in enumerate(given):
        fact = _read(f"facts[{number}]", one)
        if fact.id in facts:
            raise InvalidRequest(f"fact {fact.id!r} is given twice: every id must be another")
        facts[fact.id] = fact
    return tuple(facts.values())


def _read(place: str, given: Any) -> Fact:
    if isinstance(given, Fact):
        given = {name: getattr(given, name) for name in _FIELDS}
    part = dict(checks.parts(place, given, _FIELDS))
    id_ = part.get("id")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        right = "a small letter, then at most 63 letters, digits and _, such as pe_ratio"
        raise checks.wrong(f"{place} has id", id_, right)
    if id_ in language().facts or _OURS.fullmatch(id_):
        raise InvalidRequest(f"{place} has id {id_!r}, which is one of our own facts: choose another")
    has = f"fact {id_!r} has"
    for name in ("value", "name", "source"):
        if part.get(name) is None:
            raise InvalidRequest(f"{has} no {name}: it needs id, value, name and source")
    value = _value(has, part["value"])
    is_number = not isinstance(value, date | str)
    unit = part.get("unit", "number")
    checks.one_of(f"{has} unit", unit, get_args(Unit))
    if not is_number and unit != "number":
        raise InvalidRequest(f"{has} unit {unit!r}, and its value is no number: leave the unit out")
    currency = part.get("currency", "USD")
    if not isinstance(currency, str) or not re.fullmatch(r"[A-Za-z]{3,5}", currency):
        raise checks.wrong(f"{has} currency", currency, "a code such as USD, EUR or USDT")
    decimals = part.get("decimals")
    if decimals is not None and (type(decimals) is not int or unit != "price" or not 0 <= decimals <= 10):
        raise checks.wrong(f"{has} decimals", decimals, "a whole number from 0 to 10, of a price")
    change_of = _line(has, part, "change_of")
    if change_of is not None and not is_number:
        raise InvalidRequest(f"{has} change_of {change_of!r}, and its value is no number: a change is one")
    as_of = part.get("as_of")
    return Fact(
        id_,
        value,
        name=checks.line(f"{has} name", part["name"], 60, braces=False),
        source=checks.line(f"{has} source", part["source"], 200),
        unit=unit,
        period=_line(has, part, "period"),
        as_of=None if as_of is None else checks.moment(f"{has} as_of", as_of),
        currency=currency.upper(),
        decimals=decimals,
        change_of=change_of,
        scale=_line(has, part, "scale"),
    )


def _value(has: str, given: Any) -> float | date | str:
    if isinstance(given, date) or (isinstance(given, str) and _DATE.fullmatch(given.strip())):
        return checks.moment(f"{has} value", given)
    if isinstance(given, str):
        return checks.line(f"{has} value", given, 200).translate(QUOTES)
    value = checks.number(f"{has} value", given, f"a finite number of at most {checks.MOST:g} in size")
    if value and abs(value) < _SMALLEST:
        raise checks.wrong(f"{has} value", given, f"zero, or at least {_SMALLEST:g} in size")
    return value


def _line(has: str, part: Mapping[str, Any], name: str) -> str | None:
    """Return a part that stands inside of our sentences, so that it must not end one."""
    if part.get(name) is None:
        return None
    text = checks.line(f"{has} {name}", part[name], 60)
    if _END.search(text):
        raise checks.wrong(f"{has} {name}", text, "a few words, without the end of a sentence")
    return text
