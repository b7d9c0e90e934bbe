"""The result of ``backtest``: frozen records, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_jsonable_python

from supernova_ai.advisor.ensemble import Action
from supernova_ai.advisor.signals import Horizon
from supernova_ai.advisor.simulation import Performance
from supernova_ai.config.advice import AssetClass


@dataclass(frozen=True, slots=True)
class BacktestBar:
    """One bar: what its close decided, and the capital at its close, which is 1 at the first.

    ``exposure`` is the planned share of the capital in the asset during this bar: 0, 0.5 or 1. The action is
    carried out at the open of the next bar. ``buy_and_hold`` is the capital of a buyer at the first open.
    """

    time: datetime
    close: float
    action: Action
    confidence: float
    exposure: float
    capital: float
    buy_and_hold: float


@dataclass(frozen=True, slots=True)
class BacktestTrade:
    """A trade at the open of the bar at ``time``, from one exposure to another; it follows an action.

    ``amount`` and ``cost`` are in units of the first capital.
    """

    time: datetime
    action: Action
    price: float
    before: float
    after: float
    amount: float
    cost: float


@dataclass(frozen=True, slots=True)
class ShiftedExposure:
    """The same exposure at other times: the plan of the strategy, rotated by a random number of bars.

    ``low``, ``median`` and ``high`` are the 5th, 50th and 95th percentile of each measure on its own.
    ``return_percentile`` and ``sharpe_percentile`` are the share of the shifted plans that did worse than the
    strategy, 0 to 1; a tie counts half.
    """

    draws: int
    low: Performance
    median: Performance
    high: Performance
    return_percentile: float
    sharpe_percentile: float


@dataclass(frozen=True, slots=True)
class ConfidenceBucket:
    """How many directions of a confidence from ``low`` to below ``high`` were right.

    ``expected`` is the share that would be right if the same directions had been given at any time; None
    without decisions.
    """

    low: float
    high: float
    decisions: int
    hits: int
    expected: float | None

    @property
    def hit_rate(self) -> float | None:
        """The share of the directions that were right; None without decisions."""
        return self.hits / self.decisions if self.decisions else None


@dataclass(frozen=True, slots=True)
class Backtest:
    """What the rules would have done on a series, and how that would have performed.

    ``costs`` are basis points of the amount of each trade. ``hits`` compare each buy, reduce and sell with
    the price ``ahead`` bars later. The first of ``bars`` is the first with a decision.
    """

    symbol: str
    asset_class: AssetClass
    risk_score: float
    horizon: Horizon
    costs: float
    seed: int
    ahead: int
    strategy: Performance
    buy_and_hold: Performance
    shifted: ShiftedExposure
    hits: tuple[ConfidenceBucket, ...]
    trades: tuple[BacktestTrade, ...]
    bars: tuple[BacktestBar, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for ``json.dumps``: times in ISO 8601."""
        plain: dict[str, Any] = to_jsonable_python(asdict(self))
        for bucket, record in zip(plain["hits"], self.hits, strict=True):
            bucket["hit_rate"] = record.hit_rate
        return plain
