"""The result of ``advise``: advice to unpack, and its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic_core import to_jsonable_python

from supernova_ai.advisor.ensemble import Action
from supernova_ai.advisor.explain import Sentence, SentenceSource
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.indicators import Indicators
from supernova_ai.advisor.signals import Signal
from supernova_ai.config.advice import AssetClass, Regime
from supernova_ai.types import Attempt, CostBasis


@dataclass(frozen=True, slots=True)
class Details(Mapping[str, Any]):
    """The details of advice; also a mapping by the names of its fields.

    ``as_of`` is the time (UTC) of the last bar used; ``gaps``, ``unfinished`` and ``repairs`` are those of
    ``History``.
    ``score`` is −1 (all signals down) to 1 (all up).

    ``sentences`` are those of the rationale, each with its facts and its source. ``source`` is "corrected" if
    a model corrected some of them, "model" if it wrote some, else "generated"; ``why`` is the reason that
    sentences are not a model's. ``quality_score`` is the rationale's, 0 to 1, and ``disclaimers`` end it.

    ``cost`` is USD, for all requests, also failed ones; ``cost_basis`` is their weakest, None without a
    request. It is "unknown" if the database did not give the cost of failed requests, which ``cost`` then is
    without. ``record_id`` is None if no record was kept; ``notes`` give the reason, or say that the record
    may be stored later.
    """

    symbol: str
    asset_class: AssetClass
    as_of: datetime
    gaps: tuple[tuple[datetime, datetime], ...]
    unfinished: datetime | None
    repairs: tuple[str, ...]
    score: float
    regime: Regime
    facts: tuple[Fact, ...]
    signals: tuple[Signal, ...]
    indicators: Indicators
    source: SentenceSource
    why: str
    sentences: tuple[Sentence, ...]
    quality_score: float
    cost: Decimal
    cost_basis: CostBasis | None
    attempts: tuple[Attempt, ...]
    request_ids: tuple[str, ...]
    disclaimers: tuple[str, ...]
    notes: tuple[str, ...]
    record_id: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the details for ``json.dumps``: times in ISO 8601, amounts of money as text."""
        plain: dict[str, Any] = to_jsonable_python(dict(self))
        return plain

    def __getitem__(self, name: str) -> Any:
        if name not in tuple(self):
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self))

    def __len__(self) -> int:
        return len(fields(self))


class Advice(NamedTuple):
    """Advice on an asset. ``confidence``, 0 to 1, is a strength, not a probability; see docs/signals.md."""

    action: Action
    confidence: float
    details: Details
    rationale: str
    risk_notes: tuple[str, ...]
