"""A failure's pattern is counted in the transaction that ends its attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from supernova_ai.ledger import End, Hold, lost_end
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, PatternRow
from supernova_ai.types import FailurePattern, Usage
from tests.holds import OpenLedger, Take

FAILURE = FailurePattern("0123456789ab", "RateLimited", 429, "Limit <number> reached")


def released(ended_ms: int, failure: FailurePattern | None = FAILURE) -> End:
    return End("released", 0, None, Usage(), ended_ms, error="RateLimited", failure=failure)


def patterns(store: Store) -> list[dict[str, Any]]:
    return store.read(lambda database: list(PatternRow.select().dicts().execute(database)))


def fingerprint(store: Store, hold: Hold) -> str | None:
    query = AttemptRow.select(AttemptRow.fingerprint).where(AttemptRow.id == hold.attempt)
    found: str | None = store.read(lambda database: query.get(database)).fingerprint
    return found


def test_a_pattern_is_one_row(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """The row has the count, the latest model, the first and the last time, in whatever order ends come."""
    ledger = open_ledger()
    for ended, model in ((20, "gpt"), (10, "gpt"), (30, "gpt-mini")):
        hold = take(ledger, "0.1", model=model)
        assert ledger.end(hold, released(ended)).result()
        assert fingerprint(store, hold) == FAILURE.fingerprint
    assert patterns(store) == [
        {
            "fingerprint": "0123456789ab",
            "provider": "openai",
            "model": "gpt-mini",
            "error": "RateLimited",
            "status": 429,
            "message": "Limit <number> reached",
            "first_ms": 10,
            "last_ms": 30,
            "seen": 3,
        }
    ]


def test_an_end_without_a_failure_leaves_no_pattern(
    open_ledger: OpenLedger, store: Store, take: Take
) -> None:
    """Without a failure no pattern is counted."""
    ledger = open_ledger()
    hold = take(ledger, "0.1")
    ledger.end(hold, released(10, None)).result()
    assert (patterns(store), fingerprint(store, hold)) == ([], None)


def test_a_second_end_is_not_counted(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """An attempt counts as one failure."""
    ledger = open_ledger()
    hold = take(ledger, "0.1")
    assert ledger.end(hold, released(10)).result()
    assert not ledger.end(hold, released(20)).result()
    assert [row["seen"] for row in patterns(store)] == [1]


def test_a_late_settlement_keeps_the_failure(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """A cost that is learnt later does not undo the failure."""
    ledger = open_ledger()
    hold = take(ledger, "0.1")
    end = lost_end(hold, ended_ms=10, error="ProviderTimeout")
    assert ledger.end(hold, replace(end, failure=FAILURE)).result()
    assert ledger.end(hold, End("settled", 1, "exact", Usage(), 20)).result()
    assert fingerprint(store, hold) == FAILURE.fingerprint
    assert [row["seen"] for row in patterns(store)] == [1]
