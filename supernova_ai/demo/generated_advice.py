"""Generated advice on assets that do not exist, recorded as real advice is; its bars are random walks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import exp
from random import Random
from typing import NamedTuple

from peewee import Database

from supernova_ai.advisor import records
from supernova_ai.advisor.bars import read_bars
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.explain import part_sides
from supernova_ai.advisor.rationale import PARTS, compose
from supernova_ai.advisor.recording import Decision, record_content
from supernova_ai.advisor.records import RecordContent
from supernova_ai.advisor.replay import bars_json
from supernova_ai.advisor.request import read_request
from supernova_ai.config import AdviceRules
from supernova_ai.demo.generated_attempts import ADVICE, DAY_MS, Attempt
from supernova_ai.prompts import Library

_BARS = 130
_RULES = AdviceRules()
_UNUSABLE = "The price will rise by 20 % soon."
_MOVES = "{atr_14.is}, so the price can move noticeably in both directions."


class Asset(NamedTuple):
    """An asset: its first price, and the mean and the deviation of its daily changes."""

    symbol: str
    price: float
    drift: float
    deviation: float
    currency: str | None = None


ASSETS = {
    "advice-stock": (
        Asset("ACME", 120, 0.0032, 0.012),
        Asset("GLOBEX", 164, -0.0035, 0.015),
        Asset("INITECH", 310, 0.0008, 0.010),
        Asset("UMBRELLA", 45, 0.0002, 0.034, "EUR"),
    ),
    "advice-crypto": (Asset("BTC/USDT", 61_000, 0.003, 0.024),),
    "advice-fx": (Asset("EUR/USD", 1.12, -0.0002, 0.0045),),
}


def add_advice(database: Database, chance: Random, calls: Iterable[Sequence[Attempt]]) -> None:
    """Record the advice that these calls explained, oldest first; other calls are passed over."""
    for attempts in calls:
        if attempts[0].entry.prompt_name in ADVICE:
            records.append(database, _record(chance, attempts))


def _record(chance: Random, attempts: Sequence[Attempt]) -> RecordContent:
    entry, end, _ = attempts[-1]
    template = Library().get(str(entry.prompt_name))
    asset = chance.choice(ASSETS[template.name])
    history = read_bars(_bars(asset, end.ended_ms), now=datetime.fromtimestamp(end.ended_ms / 1000, UTC))
    request = read_request(
        asset.symbol,
        {
            "asset_class": template.name.removeprefix("advice-"),
            "risk_score": chance.choice((20, 40, 50, 60, 80)),
            "sentiment_hint": chance.choice((-0.4, 0.0, 0.0, 0.3)),
            "currency": asset.currency,
        },
    )
    assessment = request.assess(history, _RULES)
    if end.state == "settled":
        corrected = len({attempt.entry.request for attempt in attempts}) > 1
        rationale = compose(assessment, _answers(assessment, corrected=corrected))
    else:
        rationale = compose(assessment, [], f"{end.error}: the model gave no answer")
    decision = Decision(history, request, _RULES, assessment, template)
    content = record_content(decision, rationale, news=None, config_version=entry.config_version)
    return RecordContent(
        id=uuid.UUID(int=chance.getrandbits(128)).hex,
        created_ms=end.ended_ms + 15,
        user_id=entry.user_id,
        symbol=asset.symbol,
        action=assessment.action,
        content=content | {"attempts": [_attempt(attempt) for attempt in attempts]},
        bars=bars_json(history),
    )


def _bars(asset: Asset, until_ms: int) -> list[list[float]]:
    """Return daily bars until then: for an asset, those of every day are always the same."""
    walk, last = Random(asset.symbol), until_ms // DAY_MS  # noqa: S311 - prices, not secrets
    first, close, bars = last - last % 366 - _BARS, asset.price, list[list[float]]()
    for day in range(first, last):
        start, close = close, close * exp(walk.gauss(asset.drift, asset.deviation))
        high = max(start, close) * (1 + abs(walk.gauss(0, asset.deviation / 3)))
        low = min(start, close) * (1 - abs(walk.gauss(0, asset.deviation / 3)))
        bars.append([day * DAY_MS, start, high, low, close, 1e6 * walk.uniform(0.7, 1.4)])
    return bars[-_BARS:]


def _answers(assessment: Assessment, *, corrected: bool) -> list[str]:
    """Return what a careful model answers: a sentence for each signal.

    ``corrected``: one of them cannot be used at first, and is rewritten in a second answer.
    """
    sides = part_sides(assessment.action)
    said = {
        part: [f"{each.slots}." for each in assessment.signals if each.direction == sides[part]][:3]
        for part in PARTS
    }
    first, *others = said["for"] or [_MOVES]
    lists = {"for_it": [first, *others], "against_it": said["against"], "risk": [_MOVES]}
    if not corrected:
        return [json.dumps(lists)]
    return [json.dumps(lists | {"for_it": [_UNUSABLE, *others]}), json.dumps({"for_it": [first]})]


def _attempt(attempt: Attempt) -> dict[str, object]:
    entry, end, _ = attempt
    return {
        "id": entry.id,
        "request": entry.request,
        "provider": entry.provider,
        "model": entry.model,
        "state": end.state,
        "cost": end.cost,
        "basis": end.basis,
        "price_version": entry.price_version,
    }
