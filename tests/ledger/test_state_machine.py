"""In any order of events the sums are right and no limit is exceeded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import End, Hold, Ledger, Payer, labels, leases, lost_end, slices
from supernova_ai.money import to_nano, to_usd
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, ProcessRow, SliceRow, WindowRow
from supernova_ai.types import Outcome, Usage
from supernova_ai.upkeep.reconcile import Correction, settle_attempt
from tests import recount
from tests.clients import vault_of
from tests.holds import entry

BUDGETS = (
    Budget(name="all-day", limit=Decimal(10), per="day"),
    Budget(name="openai-week", limit=Decimal(25), per="week", provider="openai"),
    Budget(name="each-user-month", limit=Decimal(20), per="month", user="*"),
    Budget(name="ann-summaries", limit=Decimal(5), per="day", user="ann", task="summary"),
    Budget(name="each-team", limit=Decimal(9), per="week", team="*"),
    Budget(name="spot-desk", limit=Decimal(7), per="day", tag={"desk": "spot"}, provider="openai"),
)
PAYERS = (
    Payer("ann", "fx", {"desk": "spot"}),
    Payer("bob", "fx", {"desk": "Spot", "book": "spot"}),
    Payer("ann", "rates"),
    Payer(),
)
START = datetime(2026, 12, 27, 20, tzinfo=UTC).timestamp()  # a week's, a year's and week 53's end are near

_LABELLED: list[dict[str, Any]] = [
    {"team": None},
    {"team": "fx"},
    {"tag": {"desk": "spot"}},
    {"tag": {"desk": "*"}},
]
Key = tuple[str, str, str]


@dataclass
class Column:
    """The model's amounts of one window."""

    settled: int = 0
    held: int = 0
    lost: int = 0

    @property
    def used(self) -> int:
        return self.settled + self.held + self.lost


@dataclass
class Taken:
    """The model's state of one hold."""

    hold: Hold
    keys: list[Key]
    provider: str
    payer: Payer
    task: str
    at: float
    state: Outcome = "held"
    cost: int = 0  # settled or lost


_PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}


def keys(budgets: Iterable[Budget], provider: str, payer: Payer, task: str, now: float) -> Iterator[Key]:
    """Return the windows of these budgets that apply to an attempt, computed independently of the ledger."""
    at = datetime.fromtimestamp(now, UTC)
    for budget in budgets:
        about = (budget.provider or provider, budget.task or task)
        tag = list(budget.tag or {})
        sides = [(budget.user, payer.user), (budget.team, payer.team)]
        sides += [((budget.tag or {})[name], payer.tags.get(name)) for name in tag]
        if about == (provider, task) and all(asked in (None, "*", own) for asked, own in sides):
            each = [own or "" for asked, own in sides if asked == "*"]
            yield budget.name, "".join(each), f"{at:{_PERIODS[budget.per]}}"


def used(windows: dict[Key, Column]) -> dict[Key, Column]:
    """Leave out empty windows, which may or may not have a row."""
    return {key: column for key, column in windows.items() if column != Column()}


class LedgerMachine(RuleBasedStateMachine):
    """A ledger beside a small model of it."""

    takens = Bundle("takens")

    def __init__(self, where: str) -> None:
        super().__init__()
        self.now = START
        self.was_set_back = False
        self.where = where
        self.store = Store(where)
        self.vault = vault_of(self.store)
        self.stores = [self.store]
        self.ledgers: list[Ledger] = []
        self.current: list[Ledger] = []
        self.budgets = {budget.name: budget for budget in BUDGETS}
        self.model: defaultdict[Key, Column] = defaultdict(Column)
        self.all: list[Taken] = []
        self.open_ledger()

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        for store in self.stores:
            store.close()

    def open_ledger(self) -> None:
        """Open a ledger with the present budgets, like a new process; earlier ones stay open."""
        self.current = []
        self.open_process()

    @rule()
    def open_process(self) -> None:
        """Open one more process with the same budgets."""
        if len(self.stores) < 6:
            self.stores.append(Store(self.where))
        budgets = list(self.budgets.values())
        self.ledger = Ledger(self.stores[-1], budgets, thresholds=[50], clock=lambda: self.now)
        self.ledgers.append(self.ledger)
        self.current.append(self.ledger)

    @rule(choice=st.randoms(use_true_random=False))
    def go_on_in_another_process(self, choice: Any) -> None:
        self.ledger = choice.choice(self.current)

    @rule(
        target=takens,
        cents=st.one_of(st.integers(0, 20), st.integers(0, 600)),
        provider=st.sampled_from(["openai", "ollama"]),
        payer=st.sampled_from(PAYERS),
        task=st.sampled_from(["chat", "summary"]),
    )
    def take(self, cents: int, provider: str, payer: Payer, task: str) -> Any:
        amount = to_nano(Decimal(cents) / 100)
        applying = list(keys(self.budgets.values(), provider, payer, task, self.now)) if amount else []
        new = {key: self.opening(key) for key in applying if key not in self.model}
        columns = self.model | {key: self.sum(counted) for key, counted in new.items()}
        full = [key for key in applying if columns[key].used + amount > to_nano(self.budgets[key[0]].limit)]
        wanted = entry(
            f"attempt-{len(self.all)}-{self.now}-{cents}",
            amount,
            self.ledger.now_ms(),
            provider=provider,
            user_id=payer.user,
            team=payer.team,
            tags=labels.to_text(payer.tags),
            task=task,
        )
        taking = self.ledger.write(lambda database: self.ledger.hold(database, wanted))
        if full:
            first = columns[full[0]]
            with pytest.raises(BudgetExceeded) as caught:
                taking.result()
            refusal = caught.value
            assert (refusal.budget, refusal.needed) == (full[0][0], to_usd(amount))
            assert refusal.spent == to_usd(first.settled + first.lost)
            assert refusal.held == to_usd(first.held)
            return multiple()
        hold = taking.result()
        self.model.update({key: columns[key] for key in new})
        for key, counted in new.items():
            for each in counted:
                each.keys.append(key)
        for key in applying:
            self.model[key].held += amount
        taken = Taken(hold, applying, provider, payer, task, self.now)
        self.all.append(taken)
        return taken

    def opening(self, key: Key) -> list[Taken]:
        """Return the holds that a new window starts with: those of its scope and period."""
        budgets = [self.budgets[key[0]]]
        return [
            taken
            for taken in self.all
            if taken.hold.amount and key in keys(budgets, taken.provider, taken.payer, taken.task, taken.at)
        ]

    def sum(self, counted: Iterable[Taken]) -> Column:
        column = Column()
        for taken in counted:
            column.settled += taken.cost if taken.state == "settled" else 0
            column.held += taken.hold.amount if taken.state == "held" else 0
            column.lost += taken.cost if taken.state == "lost" else 0
        return column

    def end(self, taken: Taken, end: End) -> None:
        late = taken.state == "lost" and end.state != "lost"
        expected = taken.state == "held" or late
        assert self.ledger.end(taken.hold, end).result() is expected
        if expected:
            self.believe(taken, end.state, end.cost)

    def believe(self, taken: Taken, state: Outcome, cost: int) -> None:
        for key in taken.keys:
            column = self.model[key]
            column.held -= taken.hold.amount if taken.state == "held" else 0
            column.settled -= taken.cost if taken.state == "settled" else 0
            column.lost -= taken.cost if taken.state == "lost" else 0
            column.settled += cost if state == "settled" else 0
            column.lost += cost if state == "lost" else 0
        taken.state, taken.cost = state, cost

    @rule(
        taken=takens, share=st.fractions(0, 1), took=st.integers(0, 9999), error=st.sampled_from([None, "E"])
    )
    def settle(self, taken: Taken, share: Any, took: int, error: str | None) -> None:
        cost, usage = int(taken.hold.amount * share), Usage(prompt=took, completion=5, cached=1, reasoning=2)
        end = End(
            "settled", cost, "exact", usage, self.ledger.now_ms(), took, took // 2, error, saved=9 - took
        )
        self.end(taken, end)

    @rule(taken=consumes(takens))
    def release(self, taken: Taken) -> None:
        self.end(taken, End("released", 0, None, Usage(), self.ledger.now_ms(), error="E"))

    @rule(taken=takens)
    def lose(self, taken: Taken) -> None:
        self.end(taken, lost_end(taken.hold, ended_ms=self.ledger.now_ms(), error="E"))

    @precondition(lambda self: not self.was_set_back)  # by the time of its end an opening knows an attempt
    @rule(taken=takens, cents=st.integers(0, 900))
    def correct(self, taken: Taken, cents: int) -> None:
        if taken.state == "held" or not taken.hold.amount:
            return  # it has not ended, or is free: that counts in no budget
        correction = Correction(taken.hold.attempt, to_nano(Decimal(cents) / 100), "the bill")
        settle_attempt(self.vault, correction, self.ledger.check_thresholds, now_ms=self.ledger.now_ms())
        self.believe(taken, "settled", correction.cost)

    @rule(hours=st.sampled_from([0.01, 1, 3, 12, 24, 24 * 8, -1, -24]))
    def set_the_clock(self, hours: float) -> None:
        self.now += hours * 3600
        self.was_set_back |= hours < 0

    @rule(choice=st.randoms(use_true_random=False), factor=st.sampled_from(["0.1", "0.5", "2"]))
    def change_a_limit(self, choice: Any, factor: str) -> None:
        budget = choice.choice(sorted(self.budgets.values(), key=lambda budget: budget.name))
        limit = budget.limit * Decimal(factor)
        self.budgets[budget.name] = budget.model_copy(update={"limit": limit})
        self.open_ledger()

    @rule(
        choice=st.randoms(use_true_random=False),
        change=st.sampled_from(
            [
                {},
                {"per": "week"},
                {"provider": None},
                {"user": None},
                {"user": "ann"},
                {"task": "summary"},
                *_LABELLED,
            ]
        ),
    )
    def rename_a_budget(self, choice: Any, change: dict[str, Any]) -> None:
        """Give a budget another name, and maybe another period or scope, so that its windows are new."""
        budget = choice.choice(sorted(self.budgets.values(), key=lambda budget: budget.name))
        if "*" in (budget.user, budget.team) and "*" in str(change):
            return  # a budget has one each
        del self.budgets[budget.name]
        name = f"budget-{len(self.ledgers)}"
        self.budgets[name] = budget.model_copy(update={"name": name, **change})
        self.open_ledger()

    @rule()
    def add_a_budget(self) -> None:
        name = f"budget-{len(self.ledgers)}"
        self.budgets[name] = Budget(name=name, limit=Decimal(15), per="week", user="*")
        self.open_ledger()

    @precondition(lambda self: any(taken.state == "held" for taken in self.all))
    @rule()
    def sweep(self) -> None:
        """Processes without a valid lease lose what they hold; no other process does."""

        def read(database: Database) -> set[str]:
            leased = {
                row.id for row in ProcessRow.select().execute(database) if row.lease_ms >= self.now * 1000
            }
            held = AttemptRow.select().where(AttemptRow.state == "held").execute(database)
            return {row.id for row in held if row.process not in leased}

        orphans = self.store.read(read)
        assert self.ledger.sweep() == len(orphans)
        self.lose_all(orphans)

    @precondition(lambda self: any(taken.state == "held" for taken in self.all))
    @rule()
    def end_the_processes(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        self.lose_all({taken.hold.attempt for taken in self.all if taken.state == "held"})

    def lose_all(self, attempts: set[str]) -> None:
        for taken in self.all:
            if taken.hold.attempt in attempts:
                assert taken.state == "held"
                self.believe(taken, "lost", taken.hold.amount)

    @invariant()
    def the_books_are_right(self) -> None:
        self.store.read(recount.check)

    @invariant()
    def the_windows_are_as_the_model_believes(self) -> None:
        rows, parts = self.store.read(
            lambda database: [list(table.select().execute(database)) for table in (WindowRow, SliceRow)]
        )
        by_id = {row.id: Column(row.settled, row.held, row.lost) for row in rows}
        for part in parts:
            column = by_id[part.window]
            column.settled += part.settled
            column.held += part.held - part.size
            column.lost += part.lost
        found = {(row.budget, row.subject, row.period): by_id[row.id] for row in rows}
        assert used(found) == used(self.model)
        for column in found.values():
            assert min(column.settled, column.held, column.lost) >= 0


@pytest.mark.parametrize(
    ("new_database", "examples"),
    [
        ("sqlite", 10),
        ("postgresql", 2),
        pytest.param("sqlite", 60, marks=pytest.mark.proof),
        pytest.param("postgresql", 15, marks=pytest.mark.proof),
    ],
    indirect=["new_database"],
)
def test_the_ledger_agrees_with_the_model(
    new_database: Callable[[], str], examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds, ends, late costs, corrections, sweeps, clock changes and edited budgets, in any order."""
    monkeypatch.setattr(leases, "TERM_S", 2 * 3600)  # no renewal: leases end by the test clock
    monkeypatch.setattr(slices, "LEAST_BATCHES", 0)  # a slice of everything that has something left
    run_state_machine_as_test(
        lambda: LedgerMachine(new_database()),  # type: ignore[arg-type] # it may be any factory
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
