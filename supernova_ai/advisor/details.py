"""What advice is: the answer that callers unpack, and the details behind it."""

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
    """What stands behind advice; also a mapping by the names of its fields.

    ``as_of`` is the time (UTC) of the last bar that counted; ``gaps`` and ``unfinished`` are a ``History``'s.
    ``score`` is that of the ensemble, −1 to 1, and ``quality_score`` that of the rationale, 0 to 1.

    ``source`` is whose words the rationale is, and ``why`` what kept a model's words from it, empty where
    they are a model's. ``grounding`` has every claim of it, and ``disclaimers`` end it. ``cost`` is USD over
    all requests, failed ones too, and ``cost_basis`` the weakest of theirs; None where nobody was asked.
    ``record_id`` is None where no record could be kept; ``notes`` say why.
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
    """What to do, how surely (0 to 1), what stands behind it, why in words, and what to beware of.

    The confidence is a score and no probability: docs/advice.md says what it means.
    """

    action: Action
    confidence: float
    details: Details
    rationale: str
    risk_notes: tuple[str, ...]
