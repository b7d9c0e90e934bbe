"""A hold is durable, ends exactly once, and its end decides what counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import End, Hold, lost_end
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Outcome, Usage
from tests.holds import OpenLedger, Take, money

Amounts = tuple[Decimal, ...]
Read = Callable[[], Amounts]

DAILY = Budget(name="daily", limit=Decimal(1), per="day")
ENDED = 1_795_350_000_000


@pytest.fixture
def window(windows: Callable[[], dict[object, Amounts]]) -> Read:
    """Read the only window: USD settled, held and lost."""

    def read() -> Amounts:
        (only,) = windows().values()
        return only

    return read


def settled(usd: str, **given: Any) -> End:
    return End("settled", to_nano(usd), "exact", Usage(), ENDED, **given)


RELEASED = End("released", 0, None, Usage(), ENDED, error="RateLimited")


def lose(hold: Hold) -> End:
    return lost_end(hold, ended_ms=ENDED, error="Timeout")


def attempt(store: Store, hold: Hold) -> Any:
    return store.read(lambda database: AttemptRow.select().where(AttemptRow.id == hold.attempt).get(database))


def test_a_hold_is_durable_with_its_whole_row(
    open_ledger: OpenLedger, store: Store, take: Take, window: Read
) -> None:
    """Everything known about the attempt is in the database before the attempt is sent."""
    ledger = open_ledger(DAILY)
    hold = take(
        ledger,
        "0.4",
        user_id="ann",
        session_id="s",
        key_slot="backup",
        prompt_name="chat",
        prompt_hash="h",
    )
    row = attempt(store, hold)
    assert hold == Hold(row.id, to_nano("0.4"), tuple(json.loads(row.windows)))
    assert (row.state, row.held, row.cost, row.basis) == ("held", to_nano("0.4"), 0, None)
    assert (row.request, row.user, row.session, row.task) == ("request", "ann", "s", "chat")
    assert (row.provider, row.model, row.tier, row.slot) == ("openai", "gpt", "standard", "backup")
    assert (row.prompt_name, row.prompt_hash, row.config_version, row.price_version) == (
        "chat",
        "h",
        "c",
        "p",
    )
    assert (row.started_ms, row.ended_ms, row.error) == (ledger.now_ms(), None, None)
    assert window() == money("0", "0.4", "0")


@pytest.mark.parametrize("cost", ["0", "0.3", "0.4", "0.7"])
def test_settling_replaces_the_hold_by_the_cost(
    cost: str, open_ledger: OpenLedger, store: Store, take: Take, window: Read
) -> None:
    """The hold leaves its windows and the cost enters them, whether it is below, at or above the hold."""
    ledger = open_ledger(DAILY)
    hold = take(ledger, "0.4")
    assert ledger.end(hold, settled(cost)).result()
    assert window() == money(cost, "0", "0")
    assert attempt(store, hold).cost == to_nano(cost)


def test_a_settled_row_is_complete(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """Tokens of every class, the cost and its basis, and the times are in the row."""
    ledger = open_ledger()
    hold = take(ledger, "0.4")
    usage = Usage(prompt=10, completion=5, cached=4, cache_write=3, reasoning=2)
    ledger.end(hold, End("settled", 7, "estimated", usage, ENDED, 1200, 300, "StreamInterrupted")).result()
    row = attempt(store, hold)
    assert (row.state, row.cost, row.basis, row.error) == ("settled", 7, "estimated", "StreamInterrupted")
    assert Usage(row.prompt, row.completion, row.cached, row.cache_write, row.reasoning) == usage
    assert (row.ended_ms, row.latency_ms, row.first_token_ms) == (ENDED, 1200, 300)


def test_releasing_gives_everything_back(
    open_ledger: OpenLedger, store: Store, take: Take, window: Read
) -> None:
    """A released hold counts nothing in its window, and its row has the reason."""
    ledger = open_ledger(DAILY)
    hold = take(ledger, "1")
    assert ledger.end(hold, RELEASED).result()
    assert window() == money("0", "0", "0")
    assert (attempt(store, hold).state, attempt(store, hold).error) == ("released", "RateLimited")
    take(ledger, "1")


def test_losing_keeps_the_whole_hold_counted(
    open_ledger: OpenLedger, store: Store, take: Take, window: Read
) -> None:
    """A lost hold may have been spent, so it still counts against the limit."""
    ledger = open_ledger(DAILY)
    hold = take(ledger, "0.6")
    assert ledger.end(hold, lose(hold)).result()
    assert window() == money("0", "0", "0.6")
    row = attempt(store, hold)
    assert (row.state, row.cost, row.basis, row.error) == ("lost", to_nano("0.6"), "bound", "Timeout")
    with pytest.raises(BudgetExceeded) as caught:
        take(ledger, "0.5")
    assert (caught.value.spent, caught.value.held) == money("0.6", "0")


@pytest.mark.parametrize("first", ["settled", "released", "lost"])
@pytest.mark.parametrize("second", ["settled", "released", "lost"])
def test_a_hold_ends_once(
    first: Outcome, second: Outcome, open_ledger: OpenLedger, store: Store, take: Take, window: Read
) -> None:
    """A second end changes nothing, except that a lost attempt's cost may be learnt late."""
    ledger = open_ledger(DAILY)
    hold = take(ledger, "0.4")
    ends = {"settled": settled("0.3"), "released": RELEASED, "lost": lose(hold)}
    after = {
        "settled": money("0.3", "0", "0"),
        "released": money("0", "0", "0"),
        "lost": money("0", "0", "0.4"),
    }
    late = first == "lost" != second
    assert ledger.end(hold, ends[first]).result()
    assert ledger.end(hold, ends[second]).result() is late
    assert window() == after[second if late else first]
    row = attempt(store, hold)
    assert (row.state, row.late) == ((second, 1) if late else (first, 0))


def test_a_late_settlement_keeps_the_latency(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """The latency recorded when the attempt was lost stays."""
    ledger = open_ledger()
    hold = take(ledger, "0.4")
    ledger.end(hold, replace(lose(hold), latency_ms=900, first_token_ms=100)).result()
    ledger.end(hold, settled("0.1")).result()
    row = attempt(store, hold)
    assert (row.latency_ms, row.first_token_ms, row.error) == (900, 100, None)


def test_an_unknown_hold_does_not_end(open_ledger: OpenLedger) -> None:
    """A hold that is not in the database cannot end."""
    ledger = open_ledger()
    assert ledger.end(Hold("never-taken", 1, ()), settled("1")).result() is False
