"""The parts of advice that a person reads, as it was just given or as it was recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from supernova_ai.advisor.details import Advice
from supernova_ai.money import to_usd
from supernova_ai.store.tables import AdviceRow


class SignalLine(NamedTuple):
    """One strategy's signal."""

    name: str
    direction: int
    strength: float
    reason: str


@dataclass(frozen=True, slots=True)
class AdviceView:
    """The parts of advice that a person reads. ``cost`` is in USD."""

    symbol: str
    action: str
    confidence: float
    as_of: datetime
    score: float
    regime: str
    signals: Sequence[SignalLine]
    text: str
    notes: Sequence[str]
    repairs: Sequence[str]
    disclaimers: Sequence[str]
    source: str
    why: str
    model: str | None
    requests: int
    cost: Decimal
    record: str | None

    @classmethod
    def from_advice(cls, advice: Advice) -> AdviceView:
        """Take the parts of advice that was just given."""
        details = advice.details
        text = advice.rationale
        for disclaimer in details.disclaimers:
            text = text.removesuffix(disclaimer).rstrip()
        last = details.attempts[-1] if details.attempts else None
        return cls(
            symbol=details.symbol,
            action=advice.action,
            confidence=advice.confidence,
            as_of=details.as_of,
            score=details.score,
            regime=details.regime,
            signals=[SignalLine(s.name, s.direction, s.strength, s.reason) for s in details.signals],
            text=text,
            notes=(*advice.risk_notes, *details.notes),
            repairs=details.repairs,
            disclaimers=details.disclaimers,
            source=details.source,
            why=details.why,
            model=f"{last.provider}/{last.model}" if last else None,
            requests=len(details.request_ids),
            cost=details.cost,
            record=details.record_id,
        )

    @classmethod
    def from_record(cls, record: AdviceRow) -> AdviceView:
        """Take the parts of recorded advice."""
        content: dict[str, Any] = json.loads(record.content)
        computed, attempts = content["computed"], content["attempts"]
        assessment = computed["assessment"]
        return cls(
            symbol=record.symbol,
            action=record.action,
            confidence=assessment["confidence"],
            as_of=datetime.fromisoformat(computed["as_of"]),
            score=assessment["score"],
            regime=assessment["regime"],
            signals=[SignalLine(*(s[name] for name in SignalLine._fields)) for s in assessment["signals"]],
            text=computed["text"],
            notes=computed["risk_notes"],
            repairs=computed.get("repairs", ()),  # older records have none
            disclaimers=content["disclaimers"],
            source=computed["source"],
            why=content["why"],
            model=f"{attempts[-1]['provider']}/{attempts[-1]['model']}" if attempts else None,
            requests=len({attempt["request"] for attempt in attempts}),
            cost=to_usd(sum(attempt["cost"] for attempt in attempts)),
            record=record.id,
        )
