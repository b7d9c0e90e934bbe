"""Budgets of every scope and period hold their limits, whatever happens at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import Entry, Hold, Payer
from supernova_ai.ledger import ledger as ledger_module
from supernova_ai.ledger.budgets import windows_for
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, ProcessRow
from tests.holds import OpenLedger, Take, Windows, lose, money, settle

Per = Literal["day", "week", "month"]


def budget(name: str, limit: str, per: Per = "day", **scope: Any) -> Budget:
    return Budget(name=name, limit=Decimal(limit), per=per, **scope)


SCOPES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str] | None]] = {
    # scope: of the budget, an attempt that falls under it, and one that does not
    "all": ({}, {"user_id": "ann"}, None),
    "provider": ({"provider": "openai"}, {"provider": "openai"}, {"provider": "anthropic"}),
    "user": ({"user": "ann"}, {"user_id": "ann"}, {"user_id": "bob"}),
    "each user": ({"user": "*"}, {"user_id": "ann"}, {"user_id": "bob"}),
    "task": ({"task": "chat"}, {"task": "chat"}, {"task": "summary"}),
}
PERIODS: dict[Per, tuple[str, str, str]] = {
    # period: its name, its end, and a moment in the next one
    "day": ("2026-11-22", "2026-11-23", "2026-11-23T00:00"),
    "week": ("2026-W47", "2026-11-23", "2026-11-23T00:00"),
    "month": ("2026-11", "2026-12-01", "2026-12-01T00:00"),
}


@pytest.mark.parametrize(
    ("scope", "per"), [*((scope, "day") for scope in SCOPES), ("all", "week"), ("each user", "month")]
)
def test_every_scope_and_period_is_enforced(
    scope: str, per: Per, open_ledger: OpenLedger, windows: Windows, take: Take, clock: SimpleNamespace
) -> None:
    """Exactly the limit fits, one nano-USD more does not; other scopes and periods are not affected."""
    where, inside, outside = SCOPES[scope]
    name, ends, later = PERIODS[per]
    ledger = open_ledger(budget("b", "1", per, **where))
    take(ledger, "0.6", **inside)
    take(ledger, "0.4", **inside)
    assert windows() == {("b", "ann" if scope == "each user" else "", name): money("0", "1", "0")}
    with pytest.raises(BudgetExceeded) as caught:
        take(ledger, "0.000000001", **inside)
    assert caught.value.budget == "b"
    assert caught.value.resets_at == datetime.fromisoformat(ends).replace(tzinfo=UTC)
    if outside is not None:
        take(ledger, "1", **outside)
    clock.now = datetime.fromisoformat(later).replace(tzinfo=UTC).timestamp()
    take(ledger, "1", **inside)


def test_a_refusal_has_the_windows_numbers(open_ledger: OpenLedger, take: Take) -> None:
    """Budget, spent (lost included), held, limit, needed, left and reset are the window's."""
    ledger = open_ledger(budget("wide", "100"), budget("daily", "10", time_zone="Asia/Tokyo"))
    first, second, _ = take(ledger, "1"), take(ledger, "2"), take(ledger, "4")
    settle(ledger, first, "0.5")
    lose(ledger, second)
    with pytest.raises(BudgetExceeded) as caught:
        take(ledger, "3.6")
    refusal = caught.value
    assert (refusal.budget, refusal.spent, refusal.held) == ("daily", Decimal("2.5"), Decimal(4))
    assert (refusal.limit, refusal.needed, refusal.left) == money("10", "3.6", "3.5")
    assert refusal.resets_at is not None
    assert refusal.resets_at.isoformat() == "2026-11-23T00:00:00+09:00"


def test_a_hold_is_in_all_its_windows_or_in_none(
    open_ledger: OpenLedger, store: Store, windows: Windows, take: Take, make_entry: Callable[..., Entry]
) -> None:
    """A refusal by the last budget undoes the other reservations, also inside a larger operation."""
    ledger = open_ledger(budget("a", "5"), budget("b", "3", user="*"), budget("c", "1", "month"))
    take(ledger, "0.75", user_id="ann")
    before = windows()
    expensive, cheap = make_entry("0.5", user_id="bob"), make_entry("0.25", user_id="ann")

    def dear_else_cheap(database: Any) -> Hold:
        with pytest.raises(BudgetExceeded):
            ledger.hold(database, expensive)
        return ledger.hold(database, cheap)

    hold = ledger.write(dear_else_cheap).result()
    reserved = {key: amounts for key, amounts in windows().items() if any(amounts)}
    assert reserved == {key: money("0", "1", "0") for key in before}
    assert len(hold.windows) == 3
    rows = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert expensive.id not in {row.id for row in rows}


def test_an_edit_while_windows_are_computed_is_in_force_afterwards(
    open_ledger: OpenLedger, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold may still count by the budgets before the edit; the next one counts by the new ones."""
    ledger = open_ledger(budget("a", "5"))
    compute = windows_for

    def edited_meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        ledger.apply([budget("a", "1")])
        return compute(*args, **kwargs)

    monkeypatch.setattr(ledger_module, "windows_for", edited_meanwhile)
    take(ledger, "0.75")
    with pytest.raises(BudgetExceeded):
        take(ledger, "0.75")


@pytest.mark.parametrize("refusing", range(4))
def test_a_refusal_by_any_budget_changes_nothing(
    refusing: int, open_ledger: OpenLedger, store: Store, windows: Windows, make_entry: Callable[..., Entry]
) -> None:
    """Even if the operation continues and commits, no window has changed, and there is no row."""
    wide: list[Any] = [{}, {"provider": "openai"}, {"user": "*"}, {"task": "chat"}]
    ledger = open_ledger(
        *(budget(f"b{n}", "0.5" if n == refusing else "5", **scope) for n, scope in enumerate(wide))
    )
    fits, expensive = make_entry("0.25", user_id="ann"), make_entry("0.3", user_id="ann")

    def operation(database: Any) -> None:
        ledger.hold(database, fits)
        for _ in range(2):
            with pytest.raises(BudgetExceeded, match=f"b{refusing}"):
                ledger.hold(database, expensive)

    ledger.write(operation).result()
    assert set(windows().values()) == {money("0", "0.25", "0")}
    (row,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert row.id == fits.id


def test_without_a_budget_every_attempt_is_still_written(
    open_ledger: OpenLedger, store: Store, windows: Windows, take: Take
) -> None:
    """Without a budget there is no window, but there is a row."""
    ledger = open_ledger(budget("other", "1", provider="ollama"))
    hold = take(ledger, "1000")
    assert hold.windows == ()
    assert windows() == {}
    (row,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert (row.id, row.held) == (hold.attempt, to_nano("1000"))


def test_a_free_attempt_fits_a_full_budget(open_ledger: OpenLedger, take: Take) -> None:
    """An attempt that costs nothing is allowed by a budget with nothing left."""
    ledger = open_ledger(budget("daily", "1"))
    take(ledger, "1")
    assert take(ledger, "0").amount == 0


def test_a_settlement_counts_in_the_window_of_its_hold(
    open_ledger: OpenLedger, windows: Windows, take: Take, clock: SimpleNamespace
) -> None:
    """A stream across midnight counts on the day it began."""
    ledger = open_ledger(budget("daily", "1", time_zone="Europe/Paris"))
    clock.now = datetime(2026, 11, 22, 22, 59, 59, tzinfo=UTC).timestamp()
    hold = take(ledger, "1")
    clock.now += 2
    take(ledger, "0.5")
    settle(ledger, hold, "0.75")
    assert windows() == {
        ("daily", "", "2026-11-22"): money("0.75", "0", "0"),
        ("daily", "", "2026-11-23"): money("0", "0.5", "0"),
    }


@pytest.mark.parametrize(
    ("who", "bounded"),
    [
        ({"provider": "openai", "payer": Payer(), "task": "chat"}, True),
        ({"provider": "ollama", "payer": Payer("ann"), "task": "chat"}, True),
        ({"provider": "ollama", "payer": Payer("bob"), "task": "chat"}, False),
    ],
)
def test_the_ledger_knows_whether_any_budget_applies(
    who: dict[str, Any], bounded: bool, open_ledger: OpenLedger
) -> None:
    """``has_budget`` is true when at least one budget applies to the attempt."""
    ledger = open_ledger(budget("a", "1", provider="openai"), budget("b", "1", user="ann"))
    assert ledger.has_budget(**who) is bounded


def test_racing_threads_never_overspend(
    open_ledger: OpenLedger, store: Store, windows: Windows, take: Take
) -> None:
    """Of sixteen threads that start at once, exactly as many are admitted as fit into the budget."""
    ledger = open_ledger(budget("wide", "100"), budget("daily", "0.5"))
    together = threading.Barrier(16)
    outcomes: list[object] = []

    def race() -> None:
        together.wait()
        try:
            outcomes.append(take(ledger, "0.1"))
        except BudgetExceeded as refusal:
            outcomes.append(refusal.budget)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Hold) for outcome in outcomes) == 5
    assert outcomes.count("daily") == 11
    assert set(windows().values()) == {money("0", "0.5", "0")}
    owners = store.read(lambda database: {row.process for row in AttemptRow.select().execute(database)})
    assert owners == store.read(lambda database: {row.id for row in ProcessRow.select().execute(database)})
    assert len(owners) == 1
