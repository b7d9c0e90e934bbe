"""The report of ratings shows the means of each group beside what it cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.ledger import Ledger
from supernova_ai.reports.periods import Period
from supernova_ai.reports.rated import By, rated_lines
from supernova_ai.store import Store
from supernova_ai.store.tables import RatingRow
from supernova_ai.upkeep import archive
from tests.clients import vault_of
from tests.holds import entry, settle

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_MS = int(NOON.timestamp() * 1000)
TODAY = Period("", NOON, NOON + timedelta(hours=1))


@pytest.fixture
def ask(store: Store) -> Callable[..., None]:
    """Put a settled request with its rating into the database; scores and qualities are thousandths."""

    def make(request: str, usd: str, *, score: int | None, quality: int | None, **given: Any) -> None:
        ledger = Ledger(store, (), clock=lambda: NOW_MS / 1000)
        wanted = entry(request, 10**10, given.pop("started_ms", NOW_MS), request=request, **given)
        settle(ledger, ledger.write(lambda database: ledger.hold(database, wanted)).result(), usd)
        ledger.close()
        if score is not None or quality is not None:
            rating = RatingRow.insert(
                request=request,
                user=wanted.user_id or "",
                provider=wanted.provider,
                model=wanted.model,
                task=wanted.task,
                prompt=wanted.prompt_name or "",
                started_ms=wanted.started_ms,
                score=score,
                quality=quality,
            )
            store.write(rating.execute).result()

    return make


@pytest.fixture
def filled(store: Store, ask: Callable[..., None]) -> Store:
    ann, bob = {"user_id": "ann", "prompt_name": "chat"}, {"user_id": "bob", "task": "analysis"}
    ask("1", "0.5", score=1000, quality=None, **ann)
    ask("2", "0.5", score=-500, quality=None, **ann)
    ask("3", "3", score=None, quality=900, model="large", **bob)
    ask("4", "1", score=333, quality=600, model="large", **bob)
    ask("5", "0.25", score=None, quality=None, model="small")
    ask("before", "9", score=-1000, quality=0, started_ms=NOW_MS - 1)
    return store


GROUPS: dict[By, list[tuple[Any, ...]]] = {
    "model": [
        ("openai/large", 2, 4.0, 2, 0.75, 1, 0.333),
        ("openai/gpt", 2, 1.0, 0, None, 2, 0.25),
        ("openai/small", 1, 0.25, 0, None, 0, None),
    ],
    "prompt": [("", 3, 4.25, 2, 0.75, 1, 0.333), ("chat", 2, 1.0, 0, None, 2, 0.25)],
    "task": [("analysis", 2, 4.0, 2, 0.75, 1, 0.333), ("chat", 3, 1.25, 0, None, 2, 0.25)],
    "user": [
        ("bob", 2, 4.0, 2, 0.75, 1, 0.333),
        ("ann", 2, 1.0, 0, None, 2, 0.25),
        ("", 1, 0.25, 0, None, 0, None),
    ],
}


def shown(store: Store, by: By) -> list[tuple[Any, ...]]:
    found = store.read(lambda database: rated_lines(database, TODAY, by))
    assert all(line.attempts == line.answered for line in found)
    return [
        (
            line.name,
            line.attempts,
            line.cost / 10**9,
            line.checked,
            line.quality,
            line.feedbacks,
            line.score,
        )
        for line in found
    ]


@pytest.mark.parametrize("by", GROUPS)
def test_means_stand_beside_costs(filled: Store, by: By) -> None:
    """The highest cost comes first; without ratings a mean is None; other hours do not count."""
    assert shown(filled, by) == GROUPS[by]


def test_archiving_changes_no_report(filled: Store, tmp_path: Path) -> None:
    """A rating stays when the attempts of its request move into a file."""
    archive.archive_attempts(vault_of(filled), tmp_path, before_ms=NOW_MS + 1, now_ms=NOW_MS)
    for by, expected in GROUPS.items():
        assert shown(filled, by) == expected
