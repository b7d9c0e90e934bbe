"""The status of a small, known ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from supernova_ai.config import Budget
from supernova_ai.ledger import Payer
from supernova_ai.reports.status import BudgetStatus, budget_statuses, latest_attempts
from supernova_ai.store import Store
from supernova_ai.types import Usage
from tests.holds import OpenLedger, Take, lose, release, settle

USD = 10**9
BUDGETS = (
    Budget(name="daily", limit=Decimal(10), per="day"),
    Budget(name="openai-month", limit=Decimal(20), per="month", provider="openai", time_zone="Asia/Tokyo"),
    Budget(name="each-user", limit=Decimal(4), per="week", user="*"),
    Budget(name="summaries", limit=Decimal(1), per="day", task="summary"),
)
SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def past(open_ledger: OpenLedger, take: Take, store: Store, clock: SimpleNamespace) -> Store:
    """One request yesterday, and three today with one attempt in each state."""
    ledger = open_ledger(*BUDGETS)
    ann = {"user_id": "ann", "request": "r2"}
    clock.now -= 86_400
    settle(ledger, take(ledger, "2", id="yesterday", request="r1"), "1", usage=Usage(prompt=7))
    clock.now += 86_400
    release(ledger, take(ledger, "1", id="refused", **ann))
    clock.now += 1
    settle(ledger, take(ledger, "3", id="paid", **ann), "2", usage=Usage(prompt=100, completion=50))
    clock.now += 1
    other = {"provider": "anthropic", "model": "claude", "user_id": "bob", "request": "r3"}
    lose(ledger, take(ledger, "1", id="lost", **other), "ProviderTimeout")
    take(ledger, "2", id="open", user_id="bob", request="r4")
    return store


def ids(store: Store, limit: int = 100, **which: object) -> list[str]:
    rows = store.read(lambda database: latest_attempts(database, limit=limit, **which))  # type: ignore[arg-type]
    return [row.id for row in rows]


def test_attempts_are_the_latest_oldest_first(past: Store) -> None:
    """A limit cuts off the oldest; the rest is in the order it happened."""
    assert ids(past) == ["yesterday", "refused", "paid", "lost", "open"]
    assert ids(past, limit=2) == ["lost", "open"]


def test_attempts_can_be_filtered(past: Store) -> None:
    """They can be those of one request, provider, model or state, or since a time."""
    assert ids(past, request="r2") == ["refused", "paid"]
    assert ids(past, request="none") == []
    assert ids(past, provider="anthropic") == ids(past, model="claude") == ids(past, state="lost") == ["lost"]
    assert ids(past, provider="openai", state="held") == ["open"]
    assert ids(past, since_ms=int(SUNDAY.timestamp() * 1000)) == ["refused", "paid", "lost", "open"]


def test_every_budget_has_a_status(past: Store, clock: SimpleNamespace) -> None:
    """Each budget has a row, or one per user, the most used first; an unused budget is at zero."""
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    found = past.read(lambda database: list(budget_statuses(database, BUDGETS, now=clock.now)))
    assert found[0] == BudgetStatus("daily", "", "2026-11-22", 10 * USD, 2 * USD, 2 * USD, USD, midnight)
    assert found[0].left == 5 * USD
    assert found[1].resets_at.isoformat() == "2026-12-01T00:00:00+09:00"
    assert [(s.budget, s.subject, s.period, s.settled, s.held, s.lost) for s in found[1:]] == [
        ("openai-month", "", "2026-11", 3 * USD, 2 * USD, 0),
        ("each-user", "bob", "2026-W47", 0, 2 * USD, USD),
        ("each-user", "ann", "2026-W47", 2 * USD, 0, 0),
        ("each-user", "", "2026-W47", USD, 0, 0),
        ("summaries", "", "2026-11-22", 0, 0, 0),
    ]


def test_many_users_are_cut_and_counted(past: Store, clock: SimpleNamespace) -> None:
    """A limit applies to the users of a budget, and each row has the number of users."""
    found = past.read(lambda database: list(budget_statuses(database, BUDGETS, now=clock.now, most=2)))
    users = [(s.subject, s.subjects) for s in found if s.budget == "each-user"]
    assert users == [("bob", 3), ("ann", 3)]


@pytest.mark.parametrize(("user", "used"), [("ann", 2 * USD), ("nobody", 0)])
def test_status_of_one_user(past: Store, clock: SimpleNamespace, user: str, used: int) -> None:
    """It has the budgets that apply to the user, with the user's own window, used or not."""
    found = past.read(
        lambda database: list(budget_statuses(database, BUDGETS, now=clock.now, of=Payer(user)))
    )
    assert [(s.budget, s.subject, s.used) for s in found][2] == ("each-user", user, used)


def test_nothing_is_left_of_an_overspent_window() -> None:
    """What is left is never negative, even after a limit was lowered."""
    assert BudgetStatus("b", "", "2026-11", 5, 4, 2, 0, SUNDAY).left == 0
