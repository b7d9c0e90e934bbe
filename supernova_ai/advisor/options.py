"""The options of ``advise`` and ``aadvise``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypedDict

from supernova_ai.client import Supernova
from supernova_ai.config.advice import AssetClass


class AdviceOptions(TypedDict, total=False):
    """The options of ``advise`` and ``aadvise``. None is the same as not given."""

    asset_class: AssetClass
    """stock, crypto, fx, futures or option. Default: stock."""

    risk_score: float
    """0 for the most cautious client to 100 for the boldest. Default: 50."""

    sentiment_hint: float
    """How good the news is, −1 to 1; moves the score up or down by it. Default: 0."""

    currency: str | None
    """The currency of the prices, such as EUR. Default: the second of a pair such as USD/JPY, else USD."""

    greeks: Mapping[str, float] | None
    """For an option: delta, gamma, theta, vega, rho, implied_volatility (0.25 is 25 %). The rationale may
    state them; they change nothing else."""

    news: str | None
    """What the client read. The rationale may use it; it changes nothing else."""

    user_id: str | int | None
    """The user whose budgets count the advice, and whose record it is."""

    max_cost: Decimal | float | str | None
    """The most that all requests of the advice may cost together, in USD."""

    timeout: float | None
    """Seconds for the whole advice. If the model is later, the rationale is written without it. Without a
    timeout, ``routing.deadline`` limits each request."""

    explain: bool
    """False: ask no model. Default: True."""

    client: Supernova | None
    """The client whose configuration, keys and database are used. Default: the default client."""
