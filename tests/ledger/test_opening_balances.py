"""A new window starts with what its scope has already cost, as if it had always existed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import End, Entry, Ledger, batch_in, holds, labels
from supernova_ai.ledger.budgets import Payer, each_of, scope_key, window_of
from supernova_ai.ledger.opening_balances import Spending, WindowScope
from supernova_ai.money import to_nano
from supernova_ai.reports import status
from supernova_ai.store import Store, tables
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Usage
from supernova_ai.upkeep import archive, reconcile
from supernova_ai.upkeep.verify import verify_ledger
from tests import recount
from tests.clients import vault_of
from tests.holds import OpenLedger, Take, Windows, entry, lose, money, settle


def monthly(name: str = "monthly", limit: str = "1", **scope: Any) -> Budget:
    return Budget(name=name, limit=Decimal(limit), **{"per": "month"} | scope)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], monthly()),
        ([monthly("old")], monthly("new")),
        ([monthly(per="day")], monthly()),
        ([monthly(provider="ollama")], monthly()),
        ([monthly(time_zone="Asia/Tokyo")], monthly()),
        ([monthly()], monthly(provider="openai")),
        ([monthly()], monthly(user="ann")),
        ([monthly()], monthly(user="*")),
        ([monthly()], monthly(task="chat", user="*")),
        ([monthly()], monthly(team="fx")),
        ([monthly()], monthly(team="*")),
        ([monthly(team="fx")], monthly(tag={"desk": "spot"})),
        ([monthly()], monthly(tag={"desk": "*"})),
        ([monthly()], monthly(user="ann", team="fx", tag={"desk": "spot"})),
    ],
    ids=lambda budgets: "" if isinstance(budgets, list) else scope_key(budgets) or budgets.per,
)
def test_an_edited_budget_counts_what_was_spent(
    before: list[Budget], after: Budget, open_ledger: OpenLedger, take: Take, windows: Windows, store: Store
) -> None:
    """Settled, held and lost amounts all count; what exceeds the rest is refused."""
    old = open_ledger(*before)
    who = {"user_id": "ann", "team": "fx", "tags": '{"book":"delta","desk":"spot"}'}
    settle(old, take(old, "0.5", **who), "0.4")
    old_lost = lose(old, take(old, "0.2", **who))
    held = take(old, "0.1", **who)
    new = open_ledger(after)
    (current, *_) = store.read(lambda d: list(status.budget_statuses(d, [after], now=old.now_ms() / 1000)))
    subject = {"user": "ann", "team": "fx", "tag:desk": "spot"}.get(each_of(after), "")
    if not subject:
        assert (current.settled, current.held, current.lost) == tuple(map(to_nano, ("0.4", "0.1", "0.2")))
    with pytest.raises(BudgetExceeded) as refused:
        take(new, "0.31", **who)
    assert (refused.value.spent, refused.value.held) == money("0.6", "0.1")
    first = take(new, "0.3", **who)
    key = (after.name, subject, "2026-11")
    assert windows()[key] == money("0.4", "0.4", "0.2")
    settle(new, first, "0.05")
    settle(old, held, "0.07")
    settle(old, old_lost, "0.01")
    assert windows()[key] == money("0.53", "0", "0")
    store.read(recount.check)
    report = verify_ledger(store, [after], folder=Path("nowhere"))
    assert report.ok, report.problems
    assert "opening" not in report.counts


def test_a_new_window_counts_its_scope_only(open_ledger: OpenLedger, take: Take, store: Store) -> None:
    """Another provider, user, task, team, tag or period does not count in a new window."""
    old = open_ledger()
    for other in ({"provider": "ollama"}, {"user_id": "bob"}, {"task": "summary"}, {"user_id": None}):
        settle(old, take(old, "0.5", **{"user_id": "ann"} | other), "0.5")
    settle(old, take(old, "0.5", user_id="ann"), "0.25")
    budget = monthly(provider="openai", user="ann", task="chat")
    take(open_ledger(budget), "0.75", user_id="ann")
    no_user = monthly("no-user", user="*", task="chat")
    take(open_ledger(no_user), "0.5", user_id=None)
    with pytest.raises(BudgetExceeded):
        take(open_ledger(no_user), "0.01", user_id=None)
    store.read(recount.check)


def test_a_correction_moves_a_window_that_opened_later(
    open_ledger: OpenLedger, take: Take, windows: Windows, store: Store
) -> None:
    """A correction, up or down and repeated, counts in the window as if the window had always existed."""
    old = open_ledger()
    hold = take(old, "0.5")
    settle(old, hold, "0.4")
    budget = monthly()
    take(open_ledger(budget), "0.1")
    for usd in ("0.2", "0.6"):
        correction = reconcile.Correction(hold.attempt, to_nano(usd), "the bill")
        reconcile.settle_attempt(vault_of(store), correction, lambda *_: None, now_ms=old.now_ms())
        assert windows()["monthly", "", "2026-11"] == money(usd, "0.1", "0")
    store.read(recount.check)
    assert verify_ledger(store, [budget], folder=Path("nowhere")).ok


def test_a_failed_hold_leaves_no_window(open_ledger: OpenLedger, take: Take, windows: Windows) -> None:
    """A refusal rolls back the window and the attempts that were added to it."""
    old = open_ledger()
    held = take(old, "0.9")
    new = open_ledger(monthly())
    with pytest.raises(BudgetExceeded):
        take(new, "0.2")
    assert windows() == {}
    settle(old, held, "0.1")
    take(new, "0.9")
    assert windows() == {("monthly", "", "2026-11"): money("0.1", "0.9", "0")}


def test_a_new_period_opens_at_zero(
    open_ledger: OpenLedger, take: Take, windows: Windows, clock: SimpleNamespace
) -> None:
    """What was spent before midnight of the budget's time zone counts in the day before."""
    ledger = open_ledger(monthly(per="day", time_zone="Asia/Kolkata"))
    settle(ledger, take(ledger, "0.5"), "0.5")
    clock.now = datetime(2026, 11, 23, tzinfo=ZoneInfo("Asia/Kolkata")).timestamp()
    take(ledger, "0.2")
    assert windows()["monthly", "", "2026-11-23"] == money("0", "0.2", "0")


def test_archived_attempts_count_at_least_in_full(
    open_ledger: OpenLedger, take: Take, clock: SimpleNamespace, store: Store, tmp_path: Path
) -> None:
    """Where the rollups do not have the scope, the opening may be too high and is never too low."""
    old = open_ledger()
    for task in ("chat", "summary"):
        settle(old, take(old, "0.5", user_id="ann", task=task), "0.3")
    clock.now += 60
    archive.archive_attempts(vault_of(store), tmp_path, before_ms=old.now_ms(), now_ms=old.now_ms())
    for budget, spent in ((monthly(user="ann"), "0.6"), (monthly("task", task="chat"), "0.3")):
        assert spending(store, budget, clock.now) == to_nano(spent)
    both = monthly("both", limit="5", user="ann", task="chat")
    assert spending(store, both, clock.now) == to_nano("0.6")
    take(open_ledger(both), "0.1", user_id="ann")
    report = verify_ledger(store, [both], folder=tmp_path)
    assert report.ok, report.problems
    assert report.counts["opening"] == 1


def spending(store: Store, budget: Budget, now: float) -> int:
    scope = WindowScope.of(window_of(budget, now=now))
    return store.read(lambda database: Spending.of(database, scope)).settled


_HOUR = 3600
_START = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attempts=st.lists(
        st.tuples(
            st.integers(0, 3 * 24 * 4),
            st.integers(1, 99),
            st.sampled_from(["openai", "ollama"]),
            st.sampled_from(["ann", "bob", None]),
            st.sampled_from(["chat", "summary"]),
            st.sampled_from(["fx", "FX", None]),
            st.sampled_from([None, {"desk": "spot"}, {"desk": "SPOT", "book": "spot"}]),
        ),
        max_size=25,
    ),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Pacific/Auckland"]),
    per=st.sampled_from(["day", "week", "month"]),
    provider=st.sampled_from([None, "openai"]),
    user=st.sampled_from([None, "ann", "*"]),
    task=st.sampled_from([None, "chat"]),
    team=st.sampled_from([None, "fx", "*"]),
    tag=st.sampled_from([None, {"desk": "spot"}]),
)
def test_an_opening_is_the_sum_of_the_rows(
    store: Store,
    attempts: list[tuple[int, int, str, str | None, str, str | None, dict[str, str] | None]],
    zone: str,
    per: str,
    provider: str | None,
    user: str | None,
    task: str | None,
    team: str | None,
    tag: dict[str, str] | None,
) -> None:
    """In any zone, scope and period it is exactly the sum of the scope's ended attempts."""
    scope = {
        "per": per,
        "provider": provider,
        "user": user,
        "task": task,
        "team": team,
        "tag": tag,
        "time_zone": zone,
    }
    budget = monthly("b", "9", **scope)
    now = _START + 36 * _HOUR
    clock = SimpleNamespace(now=_START)
    ledger = Ledger(store, (), clock=lambda: clock.now)

    def fill(database: Any) -> None:
        sums = (tables.UsageRow, tables.PayerRow, tables.DailyRow, tables.LabelRow, tables.LatencyRow)
        for table in (AttemptRow, *sums):
            table.delete().execute(database)  # of the example before
        with batch_in(database) as batch:
            for number, (quarter, cost, by, whom, what, of, tags) in enumerate(attempts):
                clock.now = _START + quarter * 900
                payer = {"user_id": whom, "team": of, "tags": labels.to_text(tags or {})}
                wanted: Entry = entry(str(number), cost, ledger.now_ms(), provider=by, task=what, **payer)
                end = End("settled", cost, "exact", Usage(), ledger.now_ms())
                holds.end_hold(batch, ledger.hold(batch, wanted), end)

    store.write(fill).result()
    for whom in ("ann", None) if user == "*" else (None,):
        of = window_of(budget, now=now, payer=Payer(whom))
        meant = sum(
            cost
            for quarter, cost, by, who, what, whose, tags in attempts
            if window_of(budget, now=_START + quarter * 900).period == of.period
            and provider in (None, by)
            and task in (None, what)
            and (team is None or whose == (None if team == "*" else team))
            and (tag is None or (tags and tags["desk"] == "spot"))
            and (user is None or who == (whom if user == "*" else user))
        )
        found = store.read(partial(Spending.of, scope=WindowScope.of(of)))
        assert (found.settled, found.held, found.lost) == (meant, 0, 0)
    ledger.close()
