"""Read the figures of a text: digits or words, with their unit, sign and precision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from supernova_ai.advisor.currency import CODES, DOLLARS

Measure = Literal["price", "percent", "points", "times", "plain", "foreign"]
"""What a figure is counted in as written; foreign is a currency that no fact is in."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as written: ``value`` has its written sign, ``step`` is the worth of its last place."""

    start: int
    end: int
    value: Decimal
    step: Decimal
    measure: Measure
    signed: bool = False
    spelt: bool = False

    @property
    def digits(self) -> int:
        """How many significant digits are shown."""
        return max(1, (self.value / self.step).adjusted() + 1)


_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: n for n, word in enumerate(_ONES.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), 2)
}
_SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_SHORT = {"k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12} | _SCALES

_WORD = "|".join((*_VALUES, *_SCALES))
SPELT = (
    rf"\b(?:{'|'.join(_VALUES)}|dozen|a (?:{'|'.join(_SCALES)}))\b(?:(?:[ -]|,? and )(?:{_WORD})\b){{0,24}}"
)
"""A number in words, as a pattern."""

_DECIMAL = rf"(?: point(?: (?:{_WORD}))+| and a half)?"
_NUMBER = (
    r"(?:\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)|\d+,\d{1,2}(?![\d,])"  # 1.234,50 and 12,3
    r"|(?:\d{1,3}(?:[,'’\u00a0\u202f\u2009 ]\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d\d?(?!\d))?|\.\d+)"
)
_SIGNS = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₿": "BTC", "₩": "KRW"}
_SIGNS |= {"Rs": "INR", "Rs.": "INR", "RM": "MYR", "zł": "PLN"}
_KRONER = ("SEK", "NOK", "DKK")
_NAMES = {"dollar": "USD", "euro": "EUR", "pound": "GBP", "yen": "JPY", "rupee": "INR", "franc": "CHF"}
_NAMES |= {"yuan": "CNY", "bitcoin": "BTC"}
_SIGN = "[€£¥₹₿₩₽₺₴₫₱฿]"
_UNIT = (
    r"(?:\s*-?(?P<unit>%[ -]points?|%|percentage[ -]points?|percent\b|per cent\b|pp\b|basis[ -]points?|bps?\b"
    r"|x\b|×|times\b|fold\b|cents?\b"
    rf"|(?P<named>(?:US )?dollars?\b|(?:{'|'.join(_NAMES)})s?\b|(?-i:{'|'.join(CODES)})\b|{_SIGN})))?"
)
_DIGITS = re.compile(
    r"(?<![A-Za-z\d_])(?<!\d[.,])"
    r"(?P<sign>(?<![\w%)\].])[+−–-](?=[$€£¥₹\d.]))?"
    rf"(?P<money>[A-Z]{{0,3}}\$|(?:{'|'.join(CODES)}|Rs\.?|RM|zł|kr) ?|{_SIGN})?(?P<after>[+−-](?=[\d.]))?"
    rf"(?P<number>{_NUMBER})"
    r"(?P<scale>\s?(?:thousand|million|billion|trillion|mn|bn)\b|[kKmMbBT]\b)?" + _UNIT
)
_WORDS = re.compile(rf"(?P<sign>\b(?:minus|negative) )?(?P<number>{SPELT}{_DECIMAL}){_UNIT}", re.IGNORECASE)
_RATIO = re.compile(
    r"(?<![\w.:])(\d{1,9}(?:\.\d{1,9})?)(?: ?: ?|[ -]to[ -])(\d{1,9}(?:\.\d{1,9})?)(?![\d:]|\.\d| ?%)"
)
_NAMED = re.compile(r"_ (?:(?:is|was|at|of|stands) )+$")
"""A fact's name, as the check masks it, before a figure."""

_DECADE = re.compile(r"\b(twen|thir|for|fif|six|seven|eigh|nine)ties\b", re.IGNORECASE)
_MULTIPLES: dict[str, int | Decimal] = {
    r"twice|doubled?|doubles|doubling|twofold": 2,
    r"thrice|tripled?|triples|tripling|threefold": 3,
    r"quadrupled?|fourfold": 4,
    r"tenfold": 10,
    r"halved|halving|by half|in half|half (?:of|its|the|that|as)": Decimal("0.5"),
    r"(?:a|one)[ -]third(?: of)?": Decimal(1) / 3,
    r"two[ -]thirds(?: of)?": Decimal(2) / 3,
    r"(?:by )?(?:a|one)[ -]quarter(?: of)|by a quarter": Decimal("0.25"),
    r"three[ -]quarters(?: of)?": Decimal("0.75"),
    r"(?:a|one)[ -]fifth(?: of)?": Decimal("0.2"),
    r"(?:a|one)[ -]tenth(?: of)?": Decimal("0.1"),
}
_MULTIPLE = re.compile(
    r"(?<!first )(?<!second )(?<!latter )\b(?:" + "|".join(f"({words})" for words in _MULTIPLES) + r")\b"
    r"(?!-| (?:top|bottom|digit|check|witching|down))",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:-|–|—|to|and|or|,)\s*")


def figures(text: str, currency: str = "USD") -> list[Figure]:
    """Return every figure of the text, in its order; both ends of a range have the unit of its last.

    ``currency`` is what prices are in.
    """
    found: list[Figure] = []
    taken = bytearray(len(text))
    simple = (*_ratios(text), *_multiples(text), *_decades(text))
    for figure in (*simple, *_spelt(text, currency), *_written(text, currency)):
        if not any(taken[figure.start : figure.end]):
            found.append(figure)
            taken[figure.start : figure.end] = b"\1" * (figure.end - figure.start)
    found.sort(key=lambda figure: figure.start)
    for n in range(len(found) - 1, 0, -1):
        first, second = found[n - 1], found[n]
        if first.measure == "plain" and _RANGE.fullmatch(text, first.end, second.start):
            found[n - 1] = replace(first, measure=second.measure)
        elif first.measure == "price" and second.measure == "plain" and text[first.end] in "-–—":
            found[n] = replace(second, measure="price")
    return found


def number(words: str) -> Decimal:
    """Return the value of a number in digits or words.

    >>> number("two hundred and five"), number("1,200")
    (Decimal('205'), Decimal('1200'))
    """
    if any(character.isdigit() for character in words):
        return _value(words)[0]
    total = part = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word in _VALUES:
            part += _VALUES[word]
        elif word == "hundred":
            part = (part or 1) * 100
        elif word in _SCALES:
            total, part = total + (part or 1) * _SCALES[word], 0
    return Decimal(total + part)


def _written(text: str, currency: str) -> Iterator[Figure]:
    for match in _DIGITS.finditer(text):
        value, step = _value(match["number"])
        scale = _SHORT[match["scale"].strip().lower()] if match["scale"] else 1
        sign = match["sign"] or match["after"]
        negative = sign is not None and sign != "+"
        money = (match["named"], match["money"])
        measure, factor = _measure(match["unit"], money, currency)
        value, step = value * scale * factor, step * scale * factor
        yield Figure(
            match.start(), match.end(), -value if negative else value, step, measure, sign is not None
        )


def _spelt(text: str, currency: str) -> Iterator[Figure]:
    for match in _WORDS.finditer(text):
        whole, _, decimals = match["number"].lower().partition(" point ")
        value, step = number(whole), Decimal(1)
        if decimals:
            digits = "".join(str(number(word)) for word in decimals.split())
            value, step = value + Decimal(f"0.{digits}"), Decimal(1).scaleb(-len(digits))
        elif whole.endswith(" and a half"):
            value, step = value + Decimal("0.5"), Decimal("0.1")
        # "Two reasons" counts the text's own parts, "the RSI is nine" does not.
        if match["unit"] or value > 12 or _NAMED.search(text, max(0, match.start() - 20), match.start()):
            measure, factor = _measure(match["unit"], (match["named"],), currency)
            value, step = value * factor, step * factor
            signed = match["sign"] is not None
            yield Figure(
                match.start(), match.end(), -value if signed else value, step, measure, signed, spelt=True
            )


def _ratios(text: str) -> Iterator[Figure]:
    for match in _RATIO.finditer(text):
        above, below = Decimal(match[1]), Decimal(match[2])
        if below and (below == 1 or ":" in match[0]):
            yield Figure(match.start(), match.end(), above / below, _value(match[1])[1] / below, "times")


def _multiples(text: str) -> Iterator[Figure]:
    for match in _MULTIPLE.finditer(text):
        value = Decimal(tuple(_MULTIPLES.values())[(match.lastindex or 1) - 1])
        yield Figure(match.start(), match.end(), value, value / 10, "times", spelt=True)


def _decades(text: str) -> Iterator[Figure]:
    for match in _DECADE.finditer(text):
        middle = Decimal(_VALUES[match[0].lower().removesuffix("ies") + "y"] + 5)
        yield Figure(match.start(), match.end(), middle, Decimal(10), "plain", spelt=True)


def _value(written: str) -> tuple[Decimal, Decimal]:
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{1,2}", written):
        written = written.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d{1,2}", written):
        written = written.replace(",", ".")
    # Nobody writes more than two dozen digits, and arithmetic with thousands of them fails.
    value = Decimal(re.sub(r"[^\d.eE+-]", "", written[:24]).rstrip("eE+-"))
    return value, Decimal(1).scaleb(int(value.as_tuple().exponent))


def _measure(unit: str | None, money: Sequence[str | None], currency: str) -> tuple[Measure, Decimal]:
    name = (unit or "").lower().replace("-", " ")
    if name in ("%", "percent", "per cent"):
        return "percent", Decimal(1)
    if name.startswith(("% point", "percentage", "pp")):
        return "points", Decimal(1)
    if name.startswith(("basis", "bp")):
        return "points", Decimal("0.01")
    if name in ("x", "×", "times", "fold"):
        return "times", Decimal(1)
    own = DOLLARS if currency in DOLLARS else (currency, *(["kr"] if currency in _KRONER else []))
    if name.startswith("cent"):
        return ("price" if "USD" in own else "foreign"), Decimal("0.01")
    named = {_code(words) for words in money if words}
    if not named:
        return "plain", Decimal(1)
    return ("price" if named <= set(own) else "foreign"), Decimal(1)


def _code(words: str) -> str:
    name = words.strip().removeprefix("US ").lower().removesuffix("s")
    return _SIGNS.get(words.strip()) or _NAMES.get(name) or words.strip()
