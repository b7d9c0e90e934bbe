"""A ledger of sums for the reports of savings and suggestions, and a configuration with plain prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from peewee import Database

from supernova_ai.config import Config
from supernova_ai.reports.periods import Period
from supernova_ai.store import Store
from supernova_ai.store.tables import RatingRow, UsageRow

HOUR = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) // 3600
TODAY = Period(
    "today", datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC) + timedelta(days=1)
)
USD = 10**9
PRICES = {
    "large": {"input": "10", "output": "50"},
    "good": {"input": "2", "output": "10"},
    "small": {"input": "1", "output": "2"},
}
"""USD per million tokens."""

CONFIG = Config.model_validate(
    {
        "providers": {
            "openai": {
                "models": {"premium": "large", "standard": "good", "economy": "small"},
                "prices": PRICES,
            },
            "anthropic": {"models": {"premium": "good", "standard": None, "economy": None}, "prices": PRICES},
        },
        "routing": {
            "priority": ["openai", "anthropic"],
            "tasks": {"analysis": "premium", "chat": "standard"},
        },
    }
)


def answered(store: Store, model: str, count: int, cost: int, *, cached: int = 0, **given: Any) -> None:
    """Put so many answers of a model into one hour, with a thousand tokens in and a hundred out each."""
    provider, name = model.split("/")
    row: dict[str, Any] = {
        "hour": HOUR,
        "provider": provider,
        "model": name,
        "tier": "premium",
        "task": "analysis",
        "prompt": "",
        "error": "",
        "attempts": count + cached,
        "cached": cached,
        "settled": count + cached,
        "released": 0,
        "lost": 0,
        "cost": cost,
        "prompt_tokens": 1000 * count,
        "completion_tokens": 100 * count,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "saved": 0,
    }
    store.write(UsageRow.insert(row | given).execute).result()


def rated(
    store: Store,
    model: str,
    count: int,
    *,
    quality: int | None = None,
    score: int | None = None,
    task: str = "analysis",
    hour: int = HOUR,
) -> None:
    """Put so many ratings of a model's answers into that hour, in thousandths."""
    provider, name = model.split("/")
    rows = [
        {
            "request": f"{task} {model} {quality} {score} {number}",
            "user": "",
            "provider": provider,
            "model": name,
            "task": task,
            "prompt": "",
            "started_ms": hour * 3_600_000,
            "quality": quality,
            "score": score,
        }
        for number in range(count)
    ]

    def write(database: Database) -> None:
        RatingRow.insert_many(rows).execute(database)

    store.write(write).result()
