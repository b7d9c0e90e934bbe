"""Read where a text names facts, "its 50-day average", and which periods it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.figures import SPELT, number
from supernova_ai.advisor.grounding.report import Claim

_SYNONYMS = {
    "close": "price|prices|closing price|last price|share price|stock|shares|closed|closes|trades|trading",
    "change": "price change|return|performance|move|momentum",
    "sma": "simple moving average|moving average|average|simple average",
    "ema": "exponential moving average|moving average|average|exponential average",
    "rsi": "relative strength index|relative strength",
    "macd": "macd line",
    "macd signal": "signal line|macd signal line",
    "macd histogram": "histogram",
    "bollinger upper": "upper band|bollinger bands|bands",
    "bollinger middle": "middle band",
    "bollinger lower": "lower band|bollinger bands|bands",
    "bollinger b": "%b",
    "bollinger width": "band width|bandwidth|bollinger bands|bands",
    "atr": "average true range|true range",
    "atr percent": "ordinary bar|typical bar|ordinary day|typical day|atr|average true range|true range",
    "adx": "average directional index|directional index|trend strength",
    "plus di": "upward directional indicator",
    "minus di": "downward directional indicator|\u2212di",
    "obv mean": "average on-balance volume|mean obv|its mean|20-bar mean|20-day mean",
    "volume mean": "average volume",
    "volume ratio": "volume|relative volume|trading volume",
    "volatility": "realised volatility|realized volatility|annualised volatility|annualized volatility",
    "drawdown": "current drawdown",
    "max drawdown": "maximum drawdown|worst drawdown|largest drawdown|deepest drawdown",
    "sentiment hint": "hint",
    "bars": "bar count|number of bars",
}
"""What else people call a fact, by its id without the period."""

_OTHER = re.compile(r"\b(?:highest|lowest|previous|prior|earlier|first|opening)\s+$", re.IGNORECASE)
"""What makes "close" another than the last."""

_NEEDS_PERIOD = {"average", "simple average", "exponential average", "high", "low"}
_BARS = ["bar", "day", "session", "period", "candle", "close", "trading-day", "trading-session"]
_COUNTED = (
    rf"(?P<n>(?<!\d)\d+|{SPELT})[\s-]+(?P<unit>(?:trading[ -])?"
    r"(?:bar|day|session|period|candle|close|week|month|quarter|year|hour|minute))s?\b"
)
_PERIOD = re.compile(_COUNTED, re.IGNORECASE)
_BEFORE = re.compile(
    _COUNTED + r"(?:[\s-]+(?:simple|exponential|average|wilder|moving))?[\s-]+$", re.IGNORECASE
)
_NUMBERS_BEFORE = re.compile(r"(?<![$.,\d])(?:\b\d+(?:, (?:and )?| and ))+$")
_ONE_BAR = re.compile(
    r"\b(?:over|in|during|for)\s+(?:the\s+|an?\s+)?(?:single|one|last|latest|past)\s+(?:trading\s+)?"
    r"(?:bar|day|session|candle)\b",
    re.IGNORECASE,
)
_CALENDAR = re.compile(
    r"\b(?:today|yesterday|(?:this|last|past|previous)\s+(?:week|month|quarter|year)|"
    r"(?:over|in|during|for|within)\s+(?:the|an?)\s+(?:week|month|quarter|year)|"
    r"(?:year|month|week)[ -]to[ -]date|YTD|MTD|QTD|annually|"
    r"per\s+(?:day|week|month|quarter)|"
    r"(?:straight|consecutive|successive)\s+(?:bar|day|session|candle|close|week|month|gain|loss)(?:s|es)?)\b",
    re.IGNORECASE,
)
"""Periods that no fact has: none knows what day it is read, or counts how often a thing came in a row."""

_MORE_BEFORE = re.compile(
    rf"(?:\b\d+(?:[\s-]+(?:{'|'.join(_BARS)}))?-?(?:,\s*(?:and\s+)?|\s*/\s*|\s+(?:and|or)\s+(?:(?:its|the)\s+)?))+$",
    re.IGNORECASE,
)
"""The others of "its 20-, 50- and 200-day averages"."""

_PRICED = re.compile(
    r"\s*\(?(?:(?:is|was|of|at|stands at|stood at)\s+)?(?:(?:US)?\$\d|\d[\d,.]* ?(?-i:[A-Z]{3}))", re.I
)
_NUMBERS = r"\d+(?:\s*[,/]\s*\d+)*"
_AFTER = re.compile(
    rf"\s?\(({_NUMBERS})(?:[- ](?:{'|'.join(_BARS)})s?)?\)|[ -]?({_NUMBERS})(?![\d%]|[.,\u00a0\u202f]\d| ?%)"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A place where the text names facts. ``facts`` is empty where none has the period that is named."""

    start: int
    end: int
    facts: tuple[Fact, ...]
    plural: bool = False
    """Whether what is said of it is said of each of its facts: "its averages"."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the facts are called, and the periods they speak of."""

    by_name: dict[str, tuple[Fact, ...]]
    periods: frozenset[tuple[Decimal, str]]

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Names:
        """Gather the names of the facts from their ids and labels."""
        by_name: dict[str, tuple[Fact, ...]] = {}
        periods: set[tuple[Decimal, str]] = set()
        for fact in facts:
            periods |= periods_of(fact)
            if fact.id == "bars":
                periods.add((Decimal(str(fact.value)), "bar"))
            if fact.unit in ("date", "text"):
                continue
            for name in _names_of(fact):
                by_name[name] = (*by_name.get(name, ()), fact)
        return cls(by_name, frozenset(periods))

    def mentions(self, text: str) -> list[Mention]:
        """Return every place where the text names facts, in its order."""
        if not self.by_name:
            return []
        names = "|".join(re.escape(name) for name in sorted(self.by_name, key=len, reverse=True))
        found = re.finditer(rf"(?<!\w)(?P<name>{names})s?(?![^\W\d])(?!-(?!\d))", text, re.IGNORECASE)
        return [mention for match in found for mention in self._mention(text, match)]

    def _mention(self, text: str, match: re.Match[str]) -> Iterator[Mention]:
        name = match["name"].lower()
        facts = self.by_name[name]
        if _OTHER.search(text, max(0, match.start() - 20), match.start()):
            return
        start, end, periods = match.start(), match.end(), None
        plural = len(facts) > 1 and match[0].endswith("s")
        if match[0].lower() != name and facts[0].unit != "price":
            return  # "moves" are no change
        if before := _BEFORE.search(text, max(0, start - 60), start):
            start, periods = before.start(), [(number(before["n"]), _family(before["unit"]))]
            if plural and (more := _MORE_BEFORE.search(text, max(0, start - 60), start)):
                start = more.start()
                periods = [*((Decimal(n), periods[0][1]) for n in re.findall(r"\d+", more[0])), *periods]
        elif after := _AFTER.match(text, end):
            numbers = [Decimal(n) for n in re.findall(r"\d+", after[0])]
            if all(any((n, "bar") in periods_of(fact) for fact in facts) for n in numbers):
                end, periods = after.end(), [(n, "bar") for n in numbers]
        if periods is not None:
            facts = _of_periods(facts, periods, plural=plural)
        elif plural:
            facts = tuple(fact for fact in facts if fact.id.split("_")[0] == facts[0].id.split("_")[0])
        elif name in _NEEDS_PERIOD and not (name in ("high", "low") and _PRICED.match(text, end)):
            return
        yield Mention(start, end, facts, plural)

    def period_claims(self, text: str, mentions: Sequence[Mention]) -> Iterator[Claim]:
        """Yield a claim for each span of bars or days, and for each period of a named fact."""
        for mention in mentions:
            if re.search(r"\d", text[mention.start : mention.end]) or not mention.facts:
                sources = ", ".join(fact.id for fact in mention.facts)
                wrong = "no fact has this period" if not mention.facts else ""
                yield _claim(text, mention.start, mention.end, sources, wrong)
        for start, end, periods in _counted(text):
            within = any(mention.start <= start < mention.end for mention in mentions)
            if within or all(count == 1 for count, _ in periods):
                continue
            wrong = "" if periods <= self.periods else "no fact has this period"
            yield _claim(text, start, end, "a period of the facts", wrong)
        for match in _CALENDAR.finditer(text):
            yield _claim(text, match.start(), match.end(), "", "no fact has this period")


def _claim(text: str, start: int, end: int, source: str, wrong: str) -> Claim:
    return Claim(
        text[start:end], start, end, "period", "unsupported" if wrong else "grounded", wrong or source
    )


def _of_periods(
    facts: Sequence[Fact], periods: Sequence[tuple[Decimal, str]], *, plural: bool
) -> tuple[Fact, ...]:
    """Return the facts of all these periods; of a plural those of any, or none where one has no fact."""
    if not plural:
        return tuple(fact for fact in facts if periods_of(fact).issuperset(periods))
    each = [[fact for fact in facts if period in periods_of(fact)] for period in periods]
    return tuple(dict.fromkeys(fact for those in each for fact in those)) if all(each) else ()


@lru_cache(maxsize=1024)
def _names_of(fact: Fact) -> frozenset[str]:
    stem, label = (
        _bare(re.sub(r"\b(?:over|of)\b.*|,.*", "", words))
        for words in (fact.id.replace("_", " "), fact.label)
    )
    names = {stem, label} - {"bars"}  # every text speaks of bars
    for name in (stem, label):
        names.update(_SYNONYMS.get(name, name).split("|"))
    return frozenset(name for name in names if len(name) > 1)


def _bare(words: str) -> str:
    """Return the words in lower case, without periods: "50-day average" is "average"."""
    words = re.sub(r"\([^)]*\)", "", words.lower())
    words = re.sub(rf"\b\d+(?:[ -](?:{'|'.join(_BARS)}|week|month)s?)?\b", "", words)
    return " ".join(words.replace(",", " ").split())


def periods_in(text: str) -> set[tuple[Decimal, str]]:
    """Return the periods that the text speaks of, as numbers of a unit; days and closes are bars."""
    one = {(Decimal(1), "bar")} if _ONE_BAR.search(text) else set()
    return one.union(*(periods for _, _, periods in _counted(text)))


def _counted(text: str) -> Iterator[tuple[int, int, set[tuple[Decimal, str]]]]:
    """Yield where periods are counted, and which: "63 bars", or "10, 20 and 63 bars"."""
    for match in _PERIOD.finditer(text):
        more = _NUMBERS_BEFORE.search(text, max(0, match.start() - 40), match.start())
        numbers = [number(match["n"]), *(Decimal(n) for n in re.findall(r"\d+", more[0] if more else ""))]
        yield (more or match).start(), match.end(), {(n, _family(match["unit"])) for n in numbers}


@lru_cache(maxsize=1024)
def periods_of(fact: Fact) -> frozenset[tuple[Decimal, str]]:
    """Return the periods in a fact's id, label and source."""
    periods = {
        (Decimal(n), "bar") for n in re.findall(r"(?<![.\d-])\d+(?![.\d-])", fact.id.replace("_", " "))
    }
    for text in (fact.label, fact.source):
        text = re.sub(r"\d{4}-\d{2}-\d{2}", "", text)
        counted = list(_PERIOD.finditer(text))
        periods |= {(number(match["n"]), _family(match["unit"])) for match in counted}
        for match in re.finditer(r"(?<![.\d])\d+(?![.\d])", text):
            if not any(other.start() <= match.start() < other.end() for other in counted):
                periods.add((Decimal(match[0]), "bar"))
    return frozenset(periods)


def _family(unit: str) -> str:
    return "bar" if unit.lower().replace(" ", "-") in _BARS else unit.lower()
