"""The options of ``advise`` and ``aadvise``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict, TypeVar, cast

from supernova_ai.advisor.bar_values import DecimalMark
from supernova_ai.advisor.bars import Repair
from supernova_ai.advisor.details import Advice
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.news import NewsItem
from supernova_ai.advisor.option_contract import OptionContract
from supernova_ai.advisor.position import Position
from supernova_ai.client import Supernova
from supernova_ai.client_sync import SupernovaSync
from supernova_ai.config.advice import AssetClass, LanguageCode


class AdviceOptions(TypedDict, total=False):
    """The options of ``advise`` and ``aadvise``. Except for ``repair``, None is the same as not given."""

    asset_class: AssetClass | None
    """stock, crypto, fx, futures or option. Default: stock."""

    risk_score: float | None
    """0 for the most cautious client to 100 for the boldest. Default: 50."""

    sentiment_hint: float | None
    """How good the news is, −1 to 1; moves the score up or down by it. Default: 0."""

    currency: str | None
    """The currency of the prices, such as EUR. Default: the second of a pair such as USD/JPY, else USD."""

    language: LanguageCode | None
    """en or de: the language of the rationale and the notes. Default: ``advice.language``."""

    position: Position | None
    """What the client holds, and for how long: quantity, cost_basis, weight, opened, horizon. It chooses the
    words for what to do; only the horizon changes the action."""

    risk_per_trade: float | None
    """What the client would lose at a stop, in the currency of the bars; gives the size of a position, by
    arithmetic, if the advice is to buy."""

    repair: Repair | None
    """What is done with wrong bars. "clip" leaves out bars without prices, and moves an open or close that is
    at most 0.5 % outside of high and low to them. "drop" leaves out every wrong bar. None refuses all of
    them. Default: clip."""

    day_first: bool | None
    """Whether 11/01/2019 is 11 January. Default: what the other dates of the bars show."""

    decimal: DecimalMark | None
    """The decimal mark of numbers that are text, "." or ",". Default: what the numbers show."""

    option: OptionContract | None
    """For an option: its strike, expiry, type and underlying. The rationale may state them; they change
    nothing else."""

    greeks: Mapping[str, float] | None
    """For an option: delta, gamma, theta, vega, rho, implied_volatility (0.25 is 25 %). The rationale may
    state them; they change nothing else."""

    facts: Sequence[Fact | Mapping[str, Any]] | None
    """Facts of your own, at most 50, or dicts of their fields. The rationale may state them; they change
    nothing else."""

    news: str | Sequence[NewsItem | Mapping[str, Any]] | None
    """What the client read, which changes nothing else: a text, by which a model may choose its facts, or
    items, which are facts that the rationale may report."""

    user_id: str | int | None
    """The user whose budgets count the advice, and whose record it is."""

    team: str | None
    """The team whose budgets count the advice."""

    tags: Mapping[str, str] | None
    """At most 8 names and values, such as {"desk": "fx"}, whose budgets count the advice."""

    max_cost: Decimal | float | str | None
    """The most that all requests of the advice may cost together, in USD."""

    timeout: float | None
    """Seconds for the whole advice. If the model is later, the rationale is written without it. Without a
    timeout, ``routing.deadline`` limits each request."""

    explain: bool | None
    """False: ask no model. Default: True."""

    on_bars: Callable[[Advice], object] | None
    """A function that is called with the advice as the bars alone give it, before a model is asked."""

    client: Supernova | SupernovaSync | None
    """The client whose configuration, keys and database are used. Default: the default client."""


_Options = TypeVar("_Options", bound=AdviceOptions)


def without_none(options: _Options) -> _Options:
    """Return the options without those that are None, except for ``repair``."""
    kept = {name: value for name, value in options.items() if value is not None or name == "repair"}
    return cast(_Options, kept)
