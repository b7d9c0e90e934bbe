"""Whatever happens in whatever order, the windows are right and no limit is passed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import End, Entry, Hold, Ledger, lost
from supernova_ai.money import to_nano, to_usd
from supernova_ai.store import Store
from supernova_ai.store.tables import Attempt, Window
from supernova_ai.types import Outcome, Usage

BUDGETS = (
    Budget(name="all-day", limit=Decimal(10), per="day"),
    Budget(name="openai-week", limit=Decimal(25), per="week", provider="openai"),
    Budget(name="each-user-month", limit=Decimal(20), per="month", user="*"),
    Budget(name="ann-summaries", limit=Decimal(5), per="day", user="ann", task="summary"),
)
LIMITS = {budget.name: to_nano(budget.limit) for budget in BUDGETS}
START = datetime(2026, 12, 27, 20, tzinfo=UTC).timestamp()  # a week's, a year's and week 53's end are near

Key = tuple[str, str, str]


@dataclass
class Column:
    """What the model believes of one window."""

    settled: int = 0
    held: int = 0
    lost: int = 0

    @property
    def used(self) -> int:
        return self.settled + self.held + self.lost


@dataclass
class Taken:
    """What the model believes of one hold."""

    hold: Hold
    keys: list[Key]
    state: Outcome = "held"


def keys(provider: str, user: str | None, task: str, now: float) -> Iterator[Key]:
    """Say which windows bear on an attempt, for these budgets, by other means than the ledger's."""
    at = datetime.fromtimestamp(now, UTC)
    yield "all-day", "", f"{at:%Y-%m-%d}"
    if provider == "openai":
        yield "openai-week", "", f"{at:%G-W%V}"
    yield "each-user-month", user or "", f"{at:%Y-%m}"
    if (user, task) == ("ann", "summary"):
        yield "ann-summaries", "", f"{at:%Y-%m-%d}"


def used(windows: dict[Key, Column]) -> dict[Key, Column]:
    """Leave out empty windows: whether they have a row makes no difference."""
    return {key: column for key, column in windows.items() if column != Column()}


class LedgerMachine(RuleBasedStateMachine):
    """A ledger beside a model of it in a dozen lines."""

    takens = Bundle("takens")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.now = START
        self.store = Store(Path(self.folder.name, "supernova.db"))
        self.ledger = Ledger(self.store, BUDGETS, clock=lambda: self.now)
        self.model: defaultdict[Key, Column] = defaultdict(Column)
        self.all: list[Taken] = []

    def teardown(self) -> None:
        self.ledger.close()
        self.store.close()
        self.folder.cleanup()

    @rule(
        target=takens,
        cents=st.integers(0, 600),
        provider=st.sampled_from(["openai", "ollama"]),
        user=st.sampled_from(["ann", "bob", None]),
        task=st.sampled_from(["chat", "summary"]),
    )
    def take(self, cents: int, provider: str, user: str | None, task: str) -> Any:
        amount = to_nano(Decimal(cents) / 100)
        bearing = list(keys(provider, user, task, self.now))
        full = [key for key in bearing if self.model[key].used + amount > LIMITS[key[0]]]
        entry = Entry(
            id=f"attempt-{len(self.all)}-{self.now}-{cents}",
            request="r",
            process="",
            user_id=user,
            session_id=None,
            task=task,
            tier="standard",
            provider=provider,
            model="m",
            key_slot=None,
            held_nano=amount,
            started_ms=self.ledger.now_ms(),
            prompt_name=None,
            prompt_hash=None,
            config_version="c",
            price_version="p",
        )
        placing = self.ledger.write(lambda database: self.ledger.place(database, entry))
        if full:
            first = self.model[full[0]]
            with pytest.raises(BudgetExceeded) as caught:
                placing.result()
            refusal = caught.value
            assert (refusal.budget, refusal.needed) == (full[0][0], to_usd(amount))
            assert refusal.spent == to_usd(first.settled + first.lost)
            assert refusal.held == to_usd(first.held)
            return multiple()
        hold = placing.result()
        for key in bearing:
            self.model[key].held += amount
        taken = Taken(hold, bearing)
        self.all.append(taken)
        return taken

    def end(self, taken: Taken, end: End) -> None:
        late = taken.state == "lost" and end.state == "settled"
        expected = taken.state == "held" or late
        assert self.ledger.end(taken.hold, end).result() is expected
        if expected:
            self.believe(taken, end.state, end.cost)

    def believe(self, taken: Taken, state: Outcome, cost: int) -> None:
        for key in taken.keys:
            column = self.model[key]
            if taken.state == "held":
                column.held -= taken.hold.amount
            else:
                column.lost -= taken.hold.amount
            column.settled += cost if state == "settled" else 0
            column.lost += cost if state == "lost" else 0
        taken.state = state

    @rule(taken=takens, share=st.fractions(0, 1))
    def settle(self, taken: Taken, share: Any) -> None:
        cost = int(taken.hold.amount * share)
        self.end(taken, End("settled", cost, "exact", Usage(), self.ledger.now_ms()))

    @rule(taken=consumes(takens))
    def release(self, taken: Taken) -> None:
        self.end(taken, End("released", 0, None, Usage(), self.ledger.now_ms(), error="E"))

    @rule(taken=takens)
    def lose(self, taken: Taken) -> None:
        self.end(taken, lost(taken.hold, ended_ms=self.ledger.now_ms(), error="E"))

    @rule(hours=st.sampled_from([1, 3, 12, 24, 24 * 8]))
    def let_time_pass(self, hours: int) -> None:
        self.now += hours * 3600

    @precondition(lambda self: any(taken.state == "held" for taken in self.all))
    @rule()
    def end_the_process(self) -> None:
        self.ledger.close()
        for taken in self.all:
            if taken.state == "held":
                self.believe(taken, "lost", taken.hold.amount)

    def tables(self) -> tuple[dict[int, Any], list[Any]]:
        return self.store.read(
            lambda database: (
                {row.id: row for row in Window.select().execute(database)},
                list(Attempt.select().execute(database)),
            )
        )

    @invariant()
    def the_windows_are_as_the_model_believes(self) -> None:
        windows, _ = self.tables()
        found = {
            (row.budget, row.subject, row.period): Column(row.settled, row.held, row.lost)
            for row in windows.values()
        }
        assert used(found) == used(self.model)

    @invariant()
    def the_windows_follow_from_the_attempts(self) -> None:
        windows, attempts = self.tables()
        sums: defaultdict[int, Column] = defaultdict(Column)
        for attempt in attempts:
            for window in json.loads(attempt.windows):
                column = sums[window]
                column.settled += attempt.cost if attempt.state == "settled" else 0
                column.held += attempt.held if attempt.state == "held" else 0
                column.lost += attempt.cost if attempt.state == "lost" else 0
        assert {row.id: Column(row.settled, row.held, row.lost) for row in windows.values()} == sums

    @invariant()
    def no_limit_is_passed(self) -> None:
        windows, _ = self.tables()
        for row in windows.values():
            assert min(row.settled, row.held, row.lost) >= 0
            assert row.settled + row.held + row.lost <= LIMITS[row.budget]


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
