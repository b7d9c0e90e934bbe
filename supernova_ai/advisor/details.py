"""The result of ``advise``: advice to unpack, and its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from supernova_ai.advisor.ensemble import Action
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding import GroundingReport
from supernova_ai.advisor.indicators import Indicators
from supernova_ai.advisor.rationale import RationaleSource
from supernova_ai.advisor.signals import Signal
from supernova_ai.config.advice import AssetClass, Regime
from supernova_ai.types import Attempt, CostBasis


@dataclass(frozen=True, slots=True)
class Details(Mapping[str, Any]):
    """The details of advice; also a mapping by the names of its fields.

    ``as_of`` is the time (UTC) of the last bar used; ``gaps`` and ``unfinished`` are those of ``History``.
    ``score`` is −1 (all signals down) to 1 (all up).

    ``source`` is the author of the rationale; ``why`` is the reason that no model's text is shown, empty if
    one is. ``grounding`` has every claim of the rationale, ``quality_score`` is its quality, 0 to 1, and
    ``disclaimers`` end it.

    ``cost`` is USD, for all requests, also failed ones; ``cost_basis`` is their weakest, None without a
    request. ``record_id`` is None if no record was kept; ``notes`` give the reason.
    """

    symbol: str
    asset_class: AssetClass
    as_of: datetime
    gaps: tuple[tuple[datetime, datetime], ...]
    unfinished: datetime | None
    score: float
    regime: Regime
    facts: tuple[Fact, ...]
    signals: tuple[Signal, ...]
    indicators: Indicators
    source: RationaleSource
    why: str
    grounding: GroundingReport
    quality_score: float
    cost: Decimal
    cost_basis: CostBasis | None
    attempts: tuple[Attempt, ...]
    request_ids: tuple[str, ...]
    disclaimers: tuple[str, ...]
    notes: tuple[str, ...]
    record_id: str | None

    def __getitem__(self, name: str) -> Any:
        if name not in tuple(self):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self))

    def __len__(self) -> int:
        return len(fields(self))


class Advice(NamedTuple):
    """Advice on an asset. ``confidence`` is a score from 0 to 1, not a probability; see docs/advice.md."""

    action: Action
    confidence: float
    details: Details
    rationale: str
    risk_notes: tuple[str, ...]
