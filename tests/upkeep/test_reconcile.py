"""The real cost of an attempt is corrected by hand or from an export, with a journal and without guesses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.errors import InvalidRequest
from supernova_ai.ledger import End, Hold, Ledger, lost_end
from supernova_ai.ledger.thresholds import ThresholdWatch
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow, AttemptRow, JournalRow
from supernova_ai.types import Usage
from supernova_ai.upkeep import provider_bills, reconcile
from supernova_ai.upkeep.bill_matching import Candidate, match
from supernova_ai.upkeep.provider_bills import Bill
from supernova_ai.upkeep.reconcile import Correction, Plan
from tests import holds, recount
from tests.clients import vault_of
from tests.holds import Take, Windows, release
from tests.upkeep.sample_ledger import BUDGETS, report, rows, unseen

NOW = 1_800_000_000_000


@pytest.fixture
def ledger(open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(*BUDGETS)


def lose(ledger: Ledger, hold: Hold) -> Hold:
    assert ledger.end(
        hold, replace(lost_end(hold, ended_ms=ledger.now_ms(), error="Timeout"), latency_ms=900)
    ).result()
    return hold


def estimate(ledger: Ledger, hold: Hold, usd: str, basis: Any = "estimated", **given: Any) -> Hold:
    usage = Usage(prompt=10, completion=20, cached=3, reasoning=2)
    return holds.settle(ledger, hold, usd, basis, usage, latency_ms=900, **given)


def settle(store: Store, hold: Hold, usd: str, reason: str = "the bill says so") -> None:
    reconcile.settle_attempt(
        vault_of(store), Correction(hold.attempt, to_nano(usd), reason), unseen, now_ms=NOW
    )


def attempt(store: Store, hold: Hold) -> Any:
    return store.read(lambda database: AttemptRow.select().where(AttemptRow.id == hold.attempt).get(database))


def journal(store: Store) -> list[Any]:
    return store.read(lambda database: list(JournalRow.select().order_by(JournalRow.id).execute(database)))


# By hand


def test_a_lost_attempt_is_settled(ledger: Ledger, store: Store, take: Take, windows: Windows) -> None:
    """The hold is not lost any more, the cost is settled exactly, and the row is marked as late."""
    hold = lose(ledger, take(ledger, "0.4", user_id="ann"))
    settle(store, hold, "0.1")
    row = attempt(store, hold)
    assert (row.state, row.cost, row.basis, row.late) == ("settled", to_nano("0.1"), "exact", 1)
    assert (row.error, row.latency_ms, row.ended_ms) == ("Timeout", 900, ledger.now_ms())
    assert set(windows().values()) == {(Decimal("0.1"), Decimal(0), Decimal(0))}
    store.read(recount.check)
    assert report(store).problems == ()


@pytest.mark.parametrize("usd", ["0", "0.05", "0.1", "0.3", "0.7"])
def test_an_estimate_is_corrected(
    ledger: Ledger, store: Store, take: Take, windows: Windows, usd: str
) -> None:
    """Windows and rollups change by the difference, up, down, or not at all; tokens and times stay."""
    hold = estimate(ledger, take(ledger, "0.4"), "0.1", error="StreamInterrupted")
    settle(store, hold, usd)
    row = attempt(store, hold)
    assert (row.state, row.cost, row.basis, row.late) == ("settled", to_nano(usd), "exact", 0)
    assert (row.prompt, row.completion, row.cached, row.reasoning) == (10, 20, 3, 2)
    assert (row.error, row.latency_ms) == ("StreamInterrupted", 900)
    assert set(windows().values()) == {(Decimal(usd), Decimal(0), Decimal(0))}
    store.read(recount.check)


def test_a_released_attempt_that_was_billed_can_be_settled(
    ledger: Ledger, store: Store, take: Take, windows: Windows
) -> None:
    """A provider may charge for what it refused."""
    hold = take(ledger, "0.4")
    release(ledger, hold)
    settle(store, hold, "0.2")
    assert set(windows().values()) == {(Decimal("0.2"), Decimal(0), Decimal(0))}
    store.read(recount.check)
    assert report(store).problems == ()


def test_every_correction_is_in_the_journal(ledger: Ledger, store: Store, take: Take) -> None:
    """Each correction, also a second one, records the old and the new values, the time and the reason."""
    hold = lose(ledger, take(ledger, "0.4"))
    settle(store, hold, "0.1", "support said so")
    settle(store, hold, "0.2", "the bill came")
    first, second = journal(store)
    assert (first.event, first.attempt, first.at_ms) == ("attempt.corrected", hold.attempt, NOW)
    assert (first.reason, second.reason) == ("support said so", "the bill came")
    assert json.loads(first.before)["state"] == "lost"
    assert json.loads(first.before)["cost_nano"] == to_nano("0.4")
    assert json.loads(first.after) == json.loads(second.before)
    assert json.loads(second.after)["cost_nano"] == to_nano("0.2")
    store.read(recount.check)


def test_the_journal_and_the_correction_are_one_transaction(
    ledger: Ledger, store: Store, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal cannot be written, nothing changes."""
    hold = lose(ledger, take(ledger, "0.4"))
    before = rows(store)

    def fail(**_: Any) -> None:
        raise RuntimeError("no journal")

    monkeypatch.setattr(JournalRow, "insert", fail)
    with pytest.raises(RuntimeError, match="no journal"):
        settle(store, hold, "0.1")
    assert rows(store) == before
    store.read(recount.check)


def test_a_correction_that_fills_a_budget_is_alerted(ledger: Ledger, store: Store, take: Take) -> None:
    """Corrected costs reach thresholds like any other spending."""
    watch = ThresholdWatch({"daily": to_nano(1)}, [50])
    hold = lose(ledger, take(ledger, "0.4"))
    correction = Correction(hold.attempt, to_nano(2), "it cost more")
    reconcile.settle_attempt(
        vault_of(store),
        correction,
        lambda database, seen: watch.check(database, seen, now_ms=NOW),
        now_ms=NOW,
    )
    alerts = store.read(lambda database: list(AlertRow.select().execute(database)))
    assert {(alert.budget, alert.threshold) for alert in alerts} == {("daily", 50), ("daily", 100)}


def test_an_impossible_correction_is_refused(ledger: Ledger, store: Store, take: Take) -> None:
    """An unknown or running attempt, a missing reason or an impossible cost changes nothing."""
    held, done = take(ledger, "0.1"), lose(ledger, take(ledger, "0.2"))
    before = rows(store)
    with pytest.raises(InvalidRequest, match=r"no attempt 'unknown'.*restore its archive"):
        settle(store, Hold("unknown", 1, ()), "0.1")
    with pytest.raises(InvalidRequest, match="still running"):
        settle(store, held, "0.1")
    with pytest.raises(InvalidRequest, match="needs a reason"):
        settle(store, done, "0.1", "  ")
    with pytest.raises(InvalidRequest, match="below 0"):
        settle(store, done, "-0.1")
    with pytest.raises(InvalidRequest, match=r"above \$1,000,000,000"):
        settle(store, done, "1e20")
    assert rows(store) == before
    assert journal(store) == []


def test_a_late_end_does_not_change_a_settlement_by_hand(ledger: Ledger, store: Store, take: Take) -> None:
    """The process that lost the attempt cannot settle it a second time."""
    hold = lose(ledger, take(ledger, "0.4"))
    settle(store, hold, "0.1")
    assert not ledger.end(hold, End("settled", 5, "estimated", Usage(), ledger.now_ms())).result()
    assert attempt(store, hold).cost == to_nano("0.1")


def test_uncertain_attempts_are_listed(ledger: Ledger, store: Store, take: Take) -> None:
    """Lost attempts, estimates and unknown costs are listed; exact, released and open ones are not."""
    expected = [
        lose(ledger, take(ledger, "0.1")).attempt,
        estimate(ledger, take(ledger, "0.1"), "0.1").attempt,
        estimate(ledger, take(ledger, "0.1"), "0", "unknown").attempt,
    ]
    estimate(ledger, take(ledger, "0.1"), "0.1", "exact")
    take(ledger, "0.1")
    assert [
        row.id for row in store.read(lambda database: list(reconcile.uncertain_attempts(database)))
    ] == expected


# From an export


def plan(store: Store, *bills: Bill, tolerance_s: float = 60) -> Plan:
    return store.read(
        lambda database: reconcile.make_plan(database, bills, provider="openai", tolerance_s=tolerance_s)
    )


def test_an_export_of_an_unused_provider_is_refused(ledger: Ledger, store: Store, take: Take) -> None:
    """The error names the provider, and the providers that have attempts."""
    lose(ledger, take(ledger, "0.1"))
    with pytest.raises(InvalidRequest, match="no attempt of 'opnai'; it has attempts of: openai"):
        store.read(lambda database: reconcile.make_plan(database, [], provider="opnai", tolerance_s=60))


def test_an_export_settles_by_id_and_by_time(ledger: Ledger, store: Store, take: Take, clock: Any) -> None:
    """By our id, by the provider's, else by model and time; the tokens are then the export's."""
    ours = lose(ledger, take(ledger, "0.4"))
    theirs = estimate(ledger, take(ledger, "0.4"), "0.1", response="resp-7")
    clock.now += 3600
    near = lose(ledger, take(ledger, "0.4", max_tokens=100))
    now = ledger.now_ms()
    bills = [
        Bill(2, 11, id=ours.attempt),
        Bill(3, 12, id="resp-7", prompt=40, completion=50),
        Bill(4, 13, at_ms=now + 2000, model="gpt-2026-01-31", prompt=1, completion=100),
    ]
    found = plan(store, *bills)
    assert {(pair.attempt, pair.line, pair.billed) for pair in found.matched} == {
        (ours.attempt, 2, 11),
        (theirs.attempt, 3, 12),
        (near.attempt, 4, 13),
    }
    assert (found.ambiguous, found.unmatched, found.differing) == ((), (), ())
    assert attempt(store, ours).state == "lost"  # a plan writes nothing
    assert journal(store) == []
    assert reconcile.settle_matched(vault_of(store), found, unseen, source="june.csv", now_ms=NOW) == 3
    assert [attempt(store, hold).cost for hold in (ours, theirs, near)] == [11, 12, 13]
    assert (attempt(store, theirs).prompt, attempt(store, theirs).completion) == (40, 50)
    assert {note.reason for note in journal(store)} == {f"june.csv, line {line}" for line in (2, 3, 4)}
    store.read(recount.check)
    assert report(store).problems == ()


def test_applying_twice_settles_once(ledger: Ledger, store: Store, take: Take) -> None:
    """The second time, with a new or the old plan, nothing is settled."""
    hold = lose(ledger, take(ledger, "0.4"))
    found = plan(store, Bill(2, 11, id=hold.attempt))
    assert reconcile.settle_matched(vault_of(store), found, unseen, source="f", now_ms=NOW) == 1
    assert reconcile.settle_matched(vault_of(store), found, unseen, source="f", now_ms=NOW) == 0
    assert plan(store, Bill(2, 11, id=hold.attempt)).matched == ()
    assert len(journal(store)) == 1


def test_a_differing_bill_of_an_exact_cost_is_listed(ledger: Ledger, store: Store, take: Take) -> None:
    """It is listed for a person to look at, and not changed."""
    hold = estimate(ledger, take(ledger, "0.4"), "0.1", "exact", response="resp-7")
    found = plan(store, Bill(2, 11, id="resp-7"))
    assert found.matched == ()
    assert [(pair.attempt, pair.counted, pair.billed) for pair in found.differing] == [
        (hold.attempt, to_nano("0.1"), 11)
    ]


def test_other_providers_and_times_are_not_matched(
    ledger: Ledger, store: Store, take: Take, clock: Any
) -> None:
    """An export concerns one provider, and the time that it covers."""
    lose(ledger, take(ledger, "0.4", provider="anthropic"))
    lose(ledger, take(ledger, "0.4"))
    clock.now += 86_400
    found = plan(store, Bill(2, 11, at_ms=ledger.now_ms(), model="gpt", prompt=1, completion=1))
    assert replace(found, unclaimed=()) == Plan((), (), (), ())


# Matching by itself


def lost_one(name: str, seconds: float, **given: Any) -> Candidate:
    ordinary: dict[str, Any] = {
        "uncertain": True, "cost": 9, "model": "gpt", "prompt": 0, "completion": 0, "max_tokens": 100,
        "response": None,
    }  # fmt: skip
    return Candidate(id=name, started_ms=round(seconds * 1000), **ordinary | given)


def exact(name: str, seconds: float, prompt: int, completion: int) -> Candidate:
    return lost_one(name, seconds, uncertain=False, prompt=prompt, completion=completion)


def bill(line: int, seconds: float, prompt: int = 1, completion: int | None = 1, **given: Any) -> Bill:
    values: dict[str, Any] = {"at_ms": round(seconds * 1000), "model": "gpt"}
    return Bill(line, 5, prompt=prompt, completion=completion, **values | given)


def matched(candidates: Iterable[Candidate], bills: Iterable[Bill]) -> tuple[set[Any], set[Any]]:
    found = match(list(candidates), list(bills), tolerance_ms=60_000)
    return (
        {(candidate.id, bill.line) for candidate, bill in found.pairs},
        {(candidate.id, tuple(bill.line for bill in bills)) for candidate, bills in found.ambiguous},
    )


@pytest.mark.parametrize(
    ("candidates", "bills", "pairs", "ambiguous"),
    [
        pytest.param([lost_one("a", 0)], [bill(1, 5)], {("a", 1)}, set(), id="the only one"),
        pytest.param([lost_one("a", 0)], [bill(1, 61)], set(), set(), id="too far"),
        pytest.param([lost_one("a", 0)], [bill(1, 0, model="gpt-mini")], set(), set(), id="another model"),
        pytest.param(
            [lost_one("a", 0)], [bill(1, 0, model="gpt-2026-06-01")], {("a", 1)}, set(), id="dated model"
        ),
        pytest.param([lost_one("a", 0)], [bill(1, 0, completion=101)], set(), set(), id="too long an answer"),
        pytest.param(
            [lost_one("a", 0), lost_one("b", 10)],
            [bill(1, 9), bill(2, 1)],
            {("a", 2), ("b", 1)},
            set(),
            id="each its nearest",
        ),
        pytest.param(
            [lost_one("a", 0), lost_one("b", 0.4)], [bill(1, 0)], set(), {("a", (1,)), ("b", (1,))},
            id="two within a second",
        ),
        pytest.param(
            [lost_one("a", 0)], [bill(1, 1), bill(2, 1.5)], set(), {("a", (1, 2))}, id="two bills for one"
        ),
        pytest.param(
            [exact("e", 3, 7, 8), lost_one("a", 0)], [bill(1, 0, 7, 8)], {("e", 1)}, set(),
            id="the bill of an exact one is not given away",
        ),
        pytest.param(
            [exact("e", 0, 7, 8), lost_one("a", 0)], [bill(1, 0, 7, 8), bill(2, 5)],
            {("e", 1), ("a", 2)}, set(), id="what is left when the exact one has its bill",
        ),
        pytest.param(
            [exact("e", 0, 7, 8), exact("f", 0, 7, 8), lost_one("a", 0)],
            [bill(1, 0, 7, 8), bill(2, 0, 7, 8)],
            set(),
            {("a", (1, 2))},
            id="two exact ones alike",
        ),
        pytest.param(
            [lost_one("a", 0, response="r1")], [bill(1, 0, id="r2")], set(), set(), id="ids that differ"
        ),
        pytest.param(
            [lost_one("a", 0, response="r1")], [bill(1, 0, id="r1"), bill(2, 0, id="r1")], set(),
            {("a", (1, 2))}, id="an id twice in the export",
        ),
        pytest.param(
            [lost_one("a", 0, response="r"), lost_one("b", 0, response="r")], [bill(1, 0, id="r")], set(),
            {("a", (1,)), ("b", (1,))}, id="an id twice in the ledger",
        ),
        pytest.param([lost_one("a", 0)], [Bill(1, 5)], set(), set(), id="a bill that says nothing"),
        pytest.param(
            [lost_one("a", 0)], [bill(1, 0, completion=None)], set(), set(), id="a bill without tokens"
        ),
    ],
)  # fmt: skip
def test_matching(
    candidates: list[Candidate], bills: list[Bill], pairs: set[Any], ambiguous: set[Any]
) -> None:
    """One to one, each clearly the best match of the other; uncertain matches are left out, in any order."""
    assert matched(candidates, bills) == (pairs, ambiguous)
    assert matched(reversed(candidates), reversed(bills))[0] == pairs


# Reading exports


def read(tmp_path: Path, text: str | bytes, columns: str) -> list[Bill]:
    file = tmp_path / "export.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(provider_bills.read_bills(file, provider_bills.parse_mapping(columns)))


def test_an_export_is_read_by_its_columns(tmp_path: Path) -> None:
    """Times are ISO 8601 or Unix, costs are exact to the nano-USD, and other fields may be empty."""
    text = (
        "\ufeffwhen,what,in,out,usd,ref,other\r\n"
        '2026-11-22T12:00:00Z,gpt,1,2,$0.000000003,r1,"a, b"\r\n'
        "2026-11-22 13:00:00+01:00,gpt,,,0.1,,\r\n"
        "2026-11-22T12:00:00,gpt,1,2,0,,\r\n"
        "1795348800,gpt,1,2,0,,\r\n"
        "1795348800000,gpt,1,2,0,,\r\n"
    )
    bills = read(tmp_path, text, "time=when, model=what,prompt=in,completion=out,cost=usd,id=ref")
    assert bills[0] == Bill(2, 3, "r1", 1_795_348_800_000, "gpt", 1, 2)
    assert bills[1] == Bill(3, 100_000_000, None, 1_795_348_800_000, "gpt", None, None)
    assert {found.at_ms for found in bills} == {1_795_348_800_000}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("cost=usd", "needs 'cost', and 'id' or else all of 'time', 'model', 'prompt' and 'completion'"),
        ("id=ref", "needs 'cost'"),
        ("cost=usd,time=when,model=what,prompt=in", "or else all of"),
        ("cost=usd,ref=id", "wrong at 'ref'"),
        ("cost=usd,id", "wrong at 'id'"),
        ("cost=usd,id=a,id=b", "field=column once"),
    ],
)
def test_an_invalid_mapping_is_refused(columns: str, reason: str) -> None:
    """The error names the wrong field, or the missing ones."""
    with pytest.raises(InvalidRequest, match=reason):
        provider_bills.parse_mapping(columns)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ref,cost\nr1,1\n", "no column 'usd'; its columns are: ref, cost"),
        ("", "its columns are: none"),
        ("ref,usd\nr1,1\nr2,dear\n", r"export\.csv:3: 'dear' is not an amount"),
        ("ref,usd\nr1\n", r"export\.csv:2: '' is not an amount"),
        ("ref,usd\nr1,-1\n", "below 0: settle credits by hand"),
        ("ref,usd\nr1,inf\n", "not a finite amount"),
        ("ref,usd\nr1,1e20\n", "too high for one call"),
        (b"\xff\xfe\x00", "cannot be read as CSV"),
    ],
)
def test_an_invalid_export_is_refused(tmp_path: Path, text: str | bytes, reason: str) -> None:
    """The error names the line and the value; no line is skipped."""
    with pytest.raises(InvalidRequest, match=reason):
        read(tmp_path, text, "id=ref,cost=usd")


def test_invalid_times_and_tokens_are_refused(tmp_path: Path) -> None:
    """The error names the line."""
    for row in ("yesterday,gpt,1", "2026-11-22,gpt,many", "2026-11-22,gpt,-1", "nan,gpt,1"):
        with pytest.raises(InvalidRequest, match=r"export\.csv:2"):
            read(tmp_path, f"t,m,p,c\n{row},0.1\n", "time=t,model=m,prompt=p,completion=p,cost=c")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        list(provider_bills.read_bills(tmp_path / "absent.csv", {"cost": "c"}))
