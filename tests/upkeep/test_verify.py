"""Verification finds every sum that disagrees with the attempts, and nothing else."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest
from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger import Entry, Ledger, rollups
from supernova_ai.ratings import Feedback, give
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AttemptRow, ProcessRow, WindowRow
from supernova_ai.upkeep import attempt_sums, row_checks, verify
from supernova_ai.upkeep.attempt_sums import Sums
from supernova_ai.upkeep.row_checks import LedgerFinding, Row
from tests import recount
from tests.clients import vault_of
from tests.holds import OpenLedger, Take, lose, settle
from tests.upkeep.sample_ledger import BUDGETS, fill, report, run
from tests.upkeep.sample_ledger import rows as read_rows


@pytest.fixture
def ledger(open_ledger: OpenLedger, clock: Any, make_entry: Callable[..., Entry], seed: int) -> Ledger:
    """A ledger with sixty attempts of every kind."""
    ledger = open_ledger(*BUDGETS)
    fill(ledger, clock, make_entry, 60, seed)
    return ledger


def test_an_empty_ledger_is_right(store: Store) -> None:
    """A ledger without attempts has no findings."""
    found = report(store)
    assert (found.ok, found.checked, found.flags) == (True, {}, ())


def test_a_used_ledger_is_right(ledger: Ledger, store: Store, take: Take) -> None:
    """All ends, late ones and open holds verify, as an independent recount does."""
    take(ledger, "0.5")
    store.read(recount.check)
    found = report(store)
    assert found.problems == ()
    assert found.checked["attempts"] == 61
    assert {"overrun", "orphan"}.isdisjoint(found.counts)
    late = store.read(lambda database: AttemptRow.select().where(AttemptRow.late == 1).count(database))
    assert found.counts.get("late", 0) == late


@pytest.mark.parametrize("size", [1, 7])
def test_pages_lose_and_double_nothing(
    ledger: Ledger, store: Store, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the pages of a table are, each row is read once."""
    whole = bulk.pages

    def small(*given: Any, **named: Any) -> Any:
        return whole(*given, **named | {"size": size})

    monkeypatch.setattr(bulk, "pages", small)
    found = report(store)
    assert (found.ok, found.checked["attempts"]) == (True, 60)


CHANGES = [
    ("UPDATE budget_window SET settled_nano = settled_nano + 1 WHERE id = 1", "window"),
    ("UPDATE budget_window SET held_nano = held_nano - 1 WHERE id = 1", "window"),
    ("UPDATE budget_window SET lost_nano = lost_nano + 1 WHERE id = 1", "window"),
    ("DELETE FROM budget_window WHERE id = 1", "window"),
    ("UPDATE usage_rollup SET cost_nano = cost_nano + 1", "rollup"),
    ("UPDATE usage_rollup SET reasoning_tokens = reasoning_tokens + 1", "rollup"),
    ("UPDATE payer_rollup SET user_id = 'eve' WHERE user_id = 'ann'", "rollup"),
    ("UPDATE payer_rollup SET hour = hour + 1000", "rollup"),
    ("UPDATE daily_rollup SET cost_nano = cost_nano - 1", "rollup"),
    ("UPDATE daily_rollup SET day = day + 1000", "rollup"),
    ("UPDATE latency_rollup SET attempts = attempts + 1", "rollup"),
    ("DELETE FROM latency_rollup", "rollup"),
    ("UPDATE attempt SET cost_nano = cost_nano + 1 WHERE state = 'settled'", "window"),
    ("UPDATE attempt SET windows = '[1]' WHERE state = 'settled'", "window"),
    ("DELETE FROM attempt WHERE state = 'settled'", "window"),
    ("UPDATE attempt SET model = 'another'", "rollup"),
    ("UPDATE attempt SET started_ms = started_ms + 3600000", "rollup"),
    ("UPDATE attempt SET windows = 'none'", "attempt"),
    ("UPDATE attempt SET windows = '[1, 1]'", "attempt"),
    ("UPDATE attempt SET state = 'gone' WHERE id = 'attempt-1'", "attempt"),
    ("UPDATE attempt SET cost_basis = NULL WHERE state = 'settled'", "attempt"),
    ("UPDATE attempt SET ended_ms = NULL WHERE id = 'attempt-1'", "attempt"),
    ("UPDATE attempt SET held_nano = held_nano + 1 WHERE state = 'lost'", "attempt"),
    ("UPDATE attempt SET cost_nano = 5 WHERE state = 'released'", "attempt"),
    ("UPDATE attempt SET late = 1 WHERE state = 'lost'", "attempt"),
    ("UPDATE attempt SET prompt_tokens = -1 WHERE id = 'attempt-1'", "attempt"),
    ("UPDATE label_rollup SET cost_nano = cost_nano + 1", "rollup"),
    ("UPDATE label_rollup SET value = 'rates' WHERE value = 'fx'", "rollup"),
    ("UPDATE usage_rollup SET saved_nano = saved_nano + 1", "rollup"),
    ("UPDATE attempt SET team = 'rates' WHERE team = 'fx'", "rollup"),
    ('UPDATE attempt SET tags = \'{"desk": "fx"}\'', "attempt"),
    ("UPDATE attempt SET tags = '[damaged'", "attempt"),
    ("UPDATE attempt SET saved_nano = 1 WHERE state = 'lost'", "attempt"),
    ("UPDATE rating SET score = 1001", "rating"),
    ("UPDATE rating SET quality = -1", "rating"),
    ("UPDATE rating SET user_id = 'eve'", "rating"),
    ("UPDATE rating SET model = 'another'", "rating"),
]
OF_EACH_KIND = [CHANGES[number] for number in (0, 4, 12, 16, 18, -2)]


@pytest.mark.parametrize(
    ("new_database", "statement", "kind"),
    [*(("sqlite", *change) for change in CHANGES), *(("postgresql", *change) for change in OF_EACH_KIND)],
    indirect=["new_database"],
)
def test_a_change_past_the_ledger_is_found(ledger: Ledger, store: Store, statement: str, kind: str) -> None:
    """A window, rollup, attempt or rating that was changed without the ledger is a problem."""
    give(vault_of(store), Feedback.of("request", "up", None))
    assert (report(store).ok, report(store).checked["ratings"]) == (True, 1)
    run(store, statement)
    found = report(store)
    assert not found.ok
    assert kind in {problem.kind for problem in found.problems}


_DAMAGE: dict[str, list[Any]] = {
    "state": ["settled", "released", "lost", "held", "gone"],
    "cost_basis": ["exact", "cached", "bound", "odd", None],
    "cost_nano": [0, -1, 7, 10**12],
    "held_nano": [0, -1, 10**12],
    "saved_nano": [0, 5, -5],
    "cached_tokens": [0, -2, 9],
    "latency_ms": [None, 0, 1, 2, 3, 4, 5, 8, 11, 12, 1023, 1024, 1025, 46_340, 46_341, 2**31 - 1],
    "first_token_ms": [None, 0, 1, 90, 91, 2**30, 2**30 + 1],
    "error_class": [None, "Timeout"],
    "ended_ms": [None, 5],
    "late": [0, 1],
    "user_id": [None, "eve"],
    "session_id": [None, "t"],
    "team": [None, "rates"],
    "tags": [None, "", "[]", '{"desk":"fx"}', '{"desk": "fx"}', '{"book":"x","desk":"fx"}', "[damaged"],
    "windows": ["[]", "[1]", "[2, 1]", "[1, 1]", "none", '["1"]'],
    "prompt_name": [None, "other"],
    "started_ms": [0, 1_700_000_000_000],
}


@pytest.mark.proof
@pytest.mark.parametrize("new_database", ["sqlite", "postgresql"], indirect=True)
def test_the_database_finds_what_reading_every_row_finds(ledger: Ledger, store: Store, seed: int) -> None:
    """However rows are damaged, sums, problems and flags are those of reading each row in Python."""
    chance = random.Random(seed)
    for _ in range(30):
        changes = {name: chance.choice(_DAMAGE[name]) for name in chance.sample(sorted(_DAMAGE), 4)}
        changed = ", ".join(f"{name} = ?" for name in changes)
        where = f"id IN (SELECT id FROM attempt ORDER BY id LIMIT 3 OFFSET {chance.randrange(57)})"
        run(store, f"UPDATE attempt SET {changed} WHERE {where}", *changes.values())
        rows = [dict(zip(bulk.columns(AttemptRow), row, strict=True)) for row in read_rows(store)]
        slow: Sums = {name: {} for name in rollups.KEY_COLUMNS}
        for row in rows:
            if row["state"] != "held":
                attempt_sums.include(slow, row)
        assert store.read(_sums) == slow
        found = report(store)
        processes = store.read(lambda database: {row.id for row in ProcessRow.select().execute(database)})
        problems = [each for row in rows for each in row_checks.problems(row)]
        flags = [each for row in rows for each in row_checks.flags(row, processes)]
        if len(problems) > verify.SHOWN or len(flags) > verify.SHOWN:  # the report lists no more
            return
        kinds = {each.kind for each in flags}
        assert sorted(map(str, problems)) == [str(e) for e in _sorted(found.problems) if e.kind == "attempt"]
        assert sorted(map(str, flags)) == [str(e) for e in _sorted(found.flags) if e.kind in kinds]
        assert {e.what.partition(":")[0] for e in found.problems if e.kind == "window"} == _wrong(store, rows)


def _sorted(findings: Iterable[LedgerFinding]) -> list[LedgerFinding]:
    return sorted(findings, key=str)


def _sums(database: Database) -> Sums:
    sums: Sums = {name: {} for name in rollups.KEY_COLUMNS}
    for day in attempt_sums.days(database):
        for name, found in attempt_sums.of_day(database, day).items():
            sums[name] |= found
    return sums


def _wrong(store: Store, rows: Iterable[Row]) -> set[str]:
    """Name the windows whose amounts are not those of the rows."""
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        if row["state"] in ("settled", "held", "lost") and row_checks.are_ids(row["windows"]):
            for window in json.loads(row["windows"]):
                amount = row["held_nano" if row["state"] == "held" else "cost_nano"]
                sums[window][("settled", "held", "lost").index(row["state"])] += amount
    stored = {
        id_: amounts
        for page in store.read(lambda database: list(bulk.pages(database, WindowRow)))
        for id_, _, _, _, *amounts, _ in page
    }
    numbers = sums.keys() | stored.keys()
    return {f"window {n}" for n in numbers if stored.get(n, "none") != sums.get(n, [0, 0, 0])}


def test_a_finding_has_expected_and_found_values(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """A problem names its window, and the expected and the stored amounts."""
    ledger = open_ledger(Budget(name="daily", limit=Decimal(1), per="day"))
    take(ledger, "0.4")
    run(store, "UPDATE budget_window SET held_nano = 1")
    (problem,) = report(store).problems
    assert problem.what == "window 1: daily 2026-11-22"
    assert problem.expected == "settled $0.00, held $0.40, lost $0.00"
    assert problem.found == "settled $0.00, held $0.000000001, lost $0.00"


def test_overruns_and_late_settlements_are_flagged(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """Overruns, windows above their limit and late settlements are flags, and no problems."""
    budget = Budget(name="daily", limit=Decimal(1), per="day")
    ledger = open_ledger(budget)
    over, late = take(ledger, "0.4"), take(ledger, "0.1")
    settle(ledger, over, "2")
    settle(ledger, lose(ledger, late), "0.000000001")
    found = report(store, budgets=[budget])
    assert found.ok
    assert found.counts == {"overrun": 1, "late": 1, "above limit": 1}
    assert {(flag.kind, flag.expected, flag.found) for flag in found.flags} >= {
        ("overrun", "at most $0.40", "$2.00"),
        ("above limit", "at most $1.00", "$2.000000001"),
    }


def test_a_hold_without_a_process_is_flagged(open_ledger: OpenLedger, store: Store, take: Take) -> None:
    """An open hold whose process has no lease is a flag."""
    hold = take(open_ledger(*BUDGETS), "0.4")
    run(store, "DELETE FROM process")
    (flag,) = report(store).flags
    assert (flag.kind, flag.what) == ("orphan", f"attempt {hold.attempt}")
    run(store, "DELETE FROM attempt")


def test_a_report_lists_the_first_hundred_and_counts_all(ledger: Ledger, store: Store) -> None:
    """A ledger with thousands of findings has a short report."""
    template = next(iter(store.read(lambda database: next(bulk.pages(database, AttemptRow)))))
    names = bulk.columns(AttemptRow)
    bad = [
        tuple({"id": f"bad-{i}", "state": "odd"}.get(n, v) for n, v in zip(names, template, strict=True))
        for i in range(150)
    ]
    store.write(lambda database: bulk.insert(database, AttemptRow, bad)).result()
    found = report(store)
    assert found.counts["attempt"] == 150
    assert sum(problem.kind == "attempt" for problem in found.problems) == verify.SHOWN


@pytest.mark.proof
def test_memory_does_not_grow_with_the_attempts(store: Store) -> None:
    """Verifying six thousand attempts takes the memory of a few pages."""
    store.write(lambda database: bulk.insert(database, AttemptRow, _released(6_000))).result()
    tracemalloc.start()
    found = report(store)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.checked["attempts"] == 6_000
    assert peak < 7_500_000  # two pages and a page's dictionaries; with all rows at once it is 9 MB


def _released(count: int) -> list[bulk.Row]:
    """Make rows a hundred to the hour, each of about a kilobyte."""
    texts = dict.fromkeys(("request", "task", "tier", "provider", "model", "config_version"), "text")
    ended = {"state": "released", "held_nano": 7, "windows": "[]", "price_version": "p" * 600, "process": ""}
    zeros = {
        name: 0 for name in bulk.columns(AttemptRow) if name.endswith(("_tokens", "_nano")) or name == "late"
    }
    rows = []
    for number in range(count):
        moments = {"id": f"{number}", "started_ms": number * 36_000, "ended_ms": number * 36_000}
        row: dict[str, Any] = zeros | texts | ended | moments
        row["max_tokens"] = None
        rows.append(tuple(row.get(name) for name in bulk.columns(AttemptRow)))
    return rows
