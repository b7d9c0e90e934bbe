"""The record of an advice: what is in it, and how it is saved with what the ledger knows of its requests."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, cast

from peewee import Database

from supernova_ai.advisor import records
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.rationale import Rationale
from supernova_ai.advisor.records import RecordContent, digest
from supernova_ai.advisor.replay import bars_json, replayable_content
from supernova_ai.advisor.request import AdviceRequest
from supernova_ai.client import Supernova
from supernova_ai.config.advice import AdviceRules
from supernova_ai.errors import StoreError
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.prompts import Template
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import CostBasis, weakest

log = get_logger(__name__)

_ATTEMPT_COLUMNS = ("id", "request", "provider", "model", "state", "cost", "basis", "price_version")


class Decision(NamedTuple):
    """What the bars decide, what it was decided by, and the prompt that has it explained."""

    history: History
    request: AdviceRequest
    rules: AdviceRules
    assessment: Assessment
    template: Template

    @property
    def disclaimers(self) -> tuple[str, ...]:
        """The texts that end the rationale, which no model receives."""
        text = self.template.disclaimer(self.assessment.language)
        return (text,) if text else ()


def record_content(
    decision: Decision, rationale: Rationale, *, news: str | None, config_version: str
) -> dict[str, Any]:
    """Return the content of a record, as JSON, without the attempts."""
    history, request, rules, assessment, template = decision
    return {
        "inputs": {"bars": digest(bars_json(history)), "news": news and digest(news)},
        "computed": replayable_content(history, request, assessment, rationale, rules),
        "why": rationale.why,
        "quality": {"score": rationale.quality.score, **rationale.quality.parts},
        "disclaimers": decision.disclaimers,
        "prompt": {"name": template.name, "version": template.version, "hash": template.hash},
        "config_version": config_version,
    }


def new_record(
    decision: Decision,
    rationale: Rationale,
    config_version: str,
    *,
    user: str | None,
    news: str | None,
    began_ms: int | None,
) -> RecordContent:
    """Return the record without its time and its attempts."""
    return RecordContent(
        id=uuid.uuid4().hex,
        created_ms=0,
        user_id=user,
        symbol=decision.assessment.symbol,
        action=decision.assessment.action,
        content=record_content(decision, rationale, news=news, config_version=config_version),
        bars=bars_json(decision.history) if decision.rules.keep_bars else None,
        news=news,
        began_ms=began_ms,
    )


class SavedRecord(NamedTuple):
    """The id of the record, None if it is not saved, and the cost of the requests, in USD."""

    record_id: str | None
    cost: Decimal
    basis: CostBasis | None
    notes: tuple[str, ...] = ()


def save(nova: Supernova, record: RecordContent, rationale: Rationale) -> SavedRecord:
    """Write the record with the attempts of the requests, whose cost the ledger knows."""
    try:
        store = nova.store()
        rows = store.read(lambda database: _attempts(database, rationale.requests))
        attempts = [{name: getattr(row, name) for name in _ATTEMPT_COLUMNS} for row in rows]
        content = {**record.content, "attempts": attempts}
        complete = replace(record, created_ms=store.now_ms(), content=content)
        store.write(lambda database: records.append(database, complete)).result()
    except StoreError as error:
        log.error("advice.record.failed", symbol=record.symbol, error=str(error))
        return unsaved(rationale, None, f"no record was kept: {error}")
    bases = [cast(CostBasis, row.basis) for row in rows if row.basis]
    return SavedRecord(record.id, to_usd(sum(row.cost for row in rows)), weakest(bases))


def unsaved(rationale: Rationale, record_id: str | None, note: str) -> SavedRecord:
    """Return the cost of the replies; only the ledger has that of failed requests."""
    cost = sum((reply.cost for reply in rationale.replies), Decimal(0))
    if rationale.failed:
        return SavedRecord(record_id, cost, "unknown", (note, "what failed requests cost is not known"))
    return SavedRecord(record_id, cost, weakest(reply.cost_basis for reply in rationale.replies), (note,))


def _attempts(database: Database, requests: Sequence[str]) -> list[AttemptRow]:
    query = (
        AttemptRow.select()
        .where(AttemptRow.request.in_(requests))
        .order_by(AttemptRow.started_ms, AttemptRow.id)
    )
    return list(query.execute(database)) if requests else []
