"""The ``advice`` section of the YAML: the weights of signals and the thresholds of actions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

AssetClass = Literal["stock", "crypto", "fx", "futures", "option"]
"""The kind of asset that the bars price."""

Regime = Literal["trending", "ranging", "volatile"]
"""The state of the market, which sets the weights of the strategies."""

Strategy = Literal["ma_cross", "rsi_reversion", "macd", "bollinger", "breakout", "momentum", "volume"]
"""The name of a strategy."""

LanguageCode = Literal["en", "de"]
"""The language of advice: English or German."""

_Weight = Annotated[float, Field(strict=True, ge=0, le=10)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Factor = Annotated[float, Field(strict=True, gt=0, le=100)]
_Index = Annotated[float, Field(strict=True, gt=0, lt=100)]
_Above = Annotated[float, Field(strict=True, gt=0, le=1)]
_Below = Annotated[float, Field(strict=True, ge=-1, lt=0)]


class AdviceRules(BaseModel):
    """How signals become an action. A pair holds the values for risk scores 0 and 100, interpolated linearly.

    Without ``keep_bars`` a record holds only the hash of the bars and cannot be replayed. ``volatile`` is the
    annualised volatility (0.45: 45 %) from which an asset class counts as volatile; at ``avoid`` times that
    the action is to avoid the asset. ``rsi`` holds the RSI below which an asset is oversold, and above which
    it is overbought. ``stop`` is the distance of a stop from the close, in average true ranges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    language: LanguageCode = "en"
    keep_bars: Annotated[bool, Field(strict=True)] = True
    min_bars: Annotated[int, Field(strict=True, ge=30)] = 30
    sentiment: _Share = 0.25
    buy: tuple[_Above, _Above] = (0.4, 0.15)
    reduce: tuple[_Below, _Below] = (-0.1, -0.25)
    sell: tuple[_Below, _Below] = (-0.25, -0.5)
    avoid: tuple[_Factor, _Factor] = (1, 2.5)
    trending: _Index = 25
    stop: _Factor = 2.0
    rsi: dict[AssetClass, tuple[_Index, _Index]] = {
        "stock": (30, 70),
        "crypto": (25, 75),
        "fx": (30, 70),
        "futures": (30, 70),
        "option": (25, 75),
    }
    volatile: dict[AssetClass, _Factor] = {
        "stock": 0.45,
        "crypto": 0.9,
        "fx": 0.15,
        "futures": 0.45,
        "option": 0.9,
    }
    weights: dict[Regime, dict[Strategy, _Weight]] = {
        "trending": {
            "ma_cross": 1,
            "rsi_reversion": 0.25,
            "macd": 0.75,
            "bollinger": 0.25,
            "breakout": 1,
            "momentum": 1,
            "volume": 0.5,
        },
        "ranging": {
            "ma_cross": 0.25,
            "rsi_reversion": 1,
            "macd": 0.25,
            "bollinger": 1,
            "breakout": 0.25,
            "momentum": 0.25,
            "volume": 0.25,
        },
        "volatile": {
            "ma_cross": 0.75,
            "rsi_reversion": 0.5,
            "macd": 0.5,
            "bollinger": 0.5,
            "breakout": 0.75,
            "momentum": 0.75,
            "volume": 0.5,
        },
    }

    @model_validator(mode="before")
    @classmethod
    def _without_mode(cls, given: Any) -> Any:
        if isinstance(given, dict) and "mode" in given:
            raise ValueError("'mode' no longer exists: a model never writes figures. Delete the line")
        return given

    @model_validator(mode="after")
    def _agree(self) -> Self:
        classes, regimes, strategies = get_args(AssetClass), get_args(Regime), get_args(Strategy)
        tables: list[tuple[str, Collection[str], tuple[str, ...]]] = [
            ("rsi", self.rsi, classes),
            ("volatile", self.volatile, classes),
            ("weights", self.weights, regimes),
        ]
        tables += [(f"weights.{regime}", weights, strategies) for regime, weights in self.weights.items()]
        for name, table, known in tables:
            if missing := [word for word in known if word not in table]:
                raise ValueError(f"'{name}' must also contain {', '.join(missing)}")
        if any(sell >= reduce for sell, reduce in zip(self.sell, self.reduce, strict=True)):
            raise ValueError("each value of 'sell' must be below that of 'reduce'")
        for name, pair, rises in (
            ("buy", self.buy, False),
            ("reduce", self.reduce, False),
            ("sell", self.sell, False),
            ("avoid", self.avoid, True),
        ):
            if (pair[0] > pair[1]) if rises else (pair[0] < pair[1]):
                raise ValueError(f"the first value of '{name}' must be the more cautious: swap {list(pair)}")
        if silent := [regime for regime, weights in self.weights.items() if not any(weights.values())]:
            raise ValueError(f"'weights.{silent[0]}' must give at least one strategy a weight above 0")
        if any(low >= high for low, high in self.rsi.values()):
            raise ValueError("in 'rsi' each first value must be below the second, such as [30, 70]")
        return self
