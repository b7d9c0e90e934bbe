"""What advice is computed from, besides the bars and the rules: checked, assessed, recorded and replayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic_core import to_jsonable_python

from supernova_ai.advisor import checks
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.greeks import greek_facts, read_greeks
from supernova_ai.advisor.language import language as texts_of
from supernova_ai.advisor.levels import level_facts
from supernova_ai.advisor.news import NewsItem, news_facts, read_news
from supernova_ai.advisor.option_contract import OptionContract, contract_facts, read_contract
from supernova_ai.advisor.own_facts import read_facts
from supernova_ai.advisor.position import Position, holding_of, position_facts, read_position
from supernova_ai.config.advice import AdviceRules, AssetClass, LanguageCode


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceRequest:
    """The arguments of advice. Those after ``position`` only add facts, which change nothing else."""

    symbol: str
    asset_class: AssetClass
    risk_score: float
    sentiment_hint: float
    currency: str | None
    language: LanguageCode | None
    position: Position
    risk_per_trade: float | None
    option: OptionContract | None
    greeks: Mapping[str, float]
    news: tuple[NewsItem, ...]
    facts: tuple[Fact, ...]

    def assess(self, history: History, rules: AdviceRules) -> Assessment:
        """Decide what to do, and add what the caller gave to the facts.

        Raises:
            InvalidRequest: an argument is out of its range, or the bars are too few.
        """
        found = assess(
            history,
            symbol=self.symbol,
            asset_class=self.asset_class,
            risk_score=self.risk_score,
            sentiment_hint=self.sentiment_hint,
            currency=self.currency,
            rules=rules,
            language=self.language,
            horizon=self.position.get("horizon") or "medium",
        )
        found = replace(found, holding=holding_of(self.position))
        return replace(found, facts=(*found.facts, *self._more_facts(found, history, rules)))

    def to_json(self) -> dict[str, Any]:
        """Return the request as a record keeps it; ``read_request`` reads it."""
        plain: dict[str, Any] = to_jsonable_python(asdict(self), fallback=float)  # numbers may be numpy's
        return plain

    def _more_facts(self, assessment: Assessment, history: History, rules: AdviceRules) -> Iterator[Fact]:
        texts, currency = texts_of(assessment.language), assessment.currency
        last = history.bars[-1].time.date()
        today = history.read_at.date() if history.read_at else last
        for number, item in enumerate(self.news):
            checks.not_later(f"news[{number}] has date", item.date, today)
        for fact in self.facts:
            if fact.as_of is not None:
                checks.not_later(f"fact {fact.id!r} has as_of", fact.as_of, today)
        if self.option is not None:
            yield from contract_facts(self.option, last, currency, texts)
        yield from greek_facts(self.greeks, currency, texts)
        yield from position_facts(self.position, assessment, last, today, texts)
        yield from level_facts(assessment, self.risk_per_trade, rules, texts)
        yield from news_facts(self.news, texts)
        yield from self.facts


def read_request(symbol: str, given: Mapping[str, Any]) -> AdviceRequest:
    """Return the request that options of advice are, or the JSON of a record.

    The arguments of ``assess`` are checked there.

    Raises:
        InvalidRequest: a part is wrong; the message names it and what is right.
    """
    asset_class = given.get("asset_class", "stock")
    option, risk = given.get("option"), given.get("risk_per_trade")
    greeks, news, facts = given.get("greeks"), given.get("news"), given.get("facts")
    return AdviceRequest(
        symbol=symbol,
        asset_class=asset_class,
        risk_score=given.get("risk_score", 50),
        sentiment_hint=given.get("sentiment_hint", 0.0),
        currency=given.get("currency"),
        language=given.get("language"),
        position=read_position(given.get("position")),
        risk_per_trade=None if risk is None else _risk(risk),
        option=None if option is None else read_contract(asset_class, option),
        greeks=read_greeks(asset_class, {} if greeks is None else greeks),
        news=read_news(() if news is None else news),
        facts=read_facts(() if facts is None else facts),
    )


def _risk(given: Any) -> float:
    right = "an amount above zero in the currency of the bars"
    return checks.number("risk_per_trade is", given, right, 1e-12)
