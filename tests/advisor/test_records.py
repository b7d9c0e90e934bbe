"""Records of advice: the chain shows every change, can be pruned, and its records can be replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from peewee import Database

from supernova_ai.advisor import rationale, records
from supernova_ai.advisor.records import RecordContent, digest
from supernova_ai.advisor.replay import Replay, bars_json, replay, replayable_content
from supernova_ai.advisor.request import read_request
from supernova_ai.advisor.view import AdviceView
from supernova_ai.config import AdviceRules
from supernova_ai.errors import InvalidRequest
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AdviceRow, JournalRow, LinkRow, UserTokenRow
from supernova_ai.store.user_tokens import user_token
from tests.advisor.sample_advice import GOOD, SAMPLE, SEED
from tests.clients import vault_of

DAY_MS = 86_400_000
RULES = AdviceRules()


def draft(
    number: int,
    *,
    user: str | None = "ann",
    written: str | None = None,
    currency: str | None = None,
    **given: Any,
) -> RecordContent:
    """The record of the seed example, with the model's text if one is given."""
    request = read_request("AAPL", {**SEED, "currency": currency})
    assessment = request.assess(SAMPLE, RULES)
    said = rationale.compose(assessment, () if written is None else (written,))
    content = {
        "inputs": {"bars": digest(bars_json(SAMPLE)), "news": digest("Sales rose.")},
        "computed": replayable_content(SAMPLE, request, assessment, said, RULES),
        "why": said.why,
        "disclaimers": [],
        "attempts": [],
    }
    bars = bars_json(SAMPLE)
    kept = {"symbol": "AAPL", "action": "buy", "content": content, "bars": bars, "news": "Sales rose."}
    return RecordContent(f"record-{number}", number * DAY_MS, user, **kept | given)


def append(store: Store, *drafts: RecordContent) -> None:
    for each in drafts:
        store.write(partial(records.append, draft=each)).result()


def problem(store: Store) -> str | None:
    return store.read(records.verify).problem


def run(store: Store, statement: str, *arguments: Any) -> None:
    store.write(lambda database: bulk.run(database, statement, *arguments)).result()


def test_records_are_listed_in_order(store: Store) -> None:
    """Newest first, optionally of one user or symbol; a record is found by the beginning of its id."""
    append(store, draft(1), draft(2, user="bob"), draft(3, symbol="MSFT"), draft(4, user=None))
    read = store.read
    assert [row.id for row in read(records.latest)] == ["record-4", "record-3", "record-2", "record-1"]
    assert [row.id for row in read(lambda d: records.latest(d, user="ann"))] == ["record-3", "record-1"]
    assert [row.id for row in read(lambda d: records.latest(d, symbol="MSFT"))] == ["record-3"]
    assert [row.id for row in read(lambda d: records.latest(d, limit=1))] == ["record-4"]
    assert read(lambda d: records.find(d, "record-2")).symbol == "AAPL"
    for wrong, message in (("record-9", "no record"), ("record", "several records")):
        with pytest.raises(InvalidRequest, match=message):
            read(partial(records.find, id_=wrong))


def test_records_have_a_token_for_the_user(store: Store) -> None:
    """All records of a user have the same token, and no record has the user's id."""
    append(store, draft(1, user="ann@home"), draft(2, user="ann@home"), draft(3, user="bob"))
    rows = store.read(lambda d: list(AdviceRow.select().order_by(AdviceRow.number).execute(d)))
    assert rows[0].user == rows[1].user != rows[2].user
    assert all("ann@home" not in f"{row.user}{row.content}" for row in rows)


def test_unchanged_chain_verifies(store: Store) -> None:
    """An empty chain too; the head names the last record."""
    assert store.read(records.verify) == records.ChainReport(0, "empty")
    append(store, draft(1), draft(2))
    report = store.read(records.verify)
    ((last,),) = store.read(
        lambda d: list(AdviceRow.select(AdviceRow.hash).where(AdviceRow.number == 2).tuples().execute(d))
    )
    assert (report.ok, report.rows, report.head) == (True, 2, f"2:{last}")


CHANGES = [
    ("UPDATE advice SET action = 'sell' WHERE number = 2", "record 2 was altered"),
    ("UPDATE advice SET content = '{}' WHERE number = 1", "record 1 was altered"),
    ("UPDATE advice SET user_token = NULL WHERE number = 3", "record 3 was altered"),
    ("UPDATE advice SET created_ms = 0 WHERE number = 2", "record 2 was altered"),
    ("DELETE FROM advice WHERE number = 2", "record 2 is missing"),
    ("DELETE FROM advice WHERE number = 1", "record 1 is missing"),
    ("DELETE FROM advice WHERE number = 3", "1 record missing at the end"),
    ("UPDATE advice SET bars = 'eJwDAAAAAAE=' WHERE number = 2", "the bars of record 2 were altered"),
    ("UPDATE advice SET bars = 'damaged' WHERE number = 2", "the bars of record 2 were altered"),
    ("UPDATE advice SET news = 'damaged' WHERE number = 3", "the news of record 3 were altered"),
    ("DELETE FROM advice_chain", "the chain is lost: the record of its end is missing"),
    ("UPDATE advice_chain SET hash = 'x'", "the record of its end was altered"),
]


@pytest.mark.parametrize(
    ("new_database", "statement", "found"),
    # Each table's, and a row that is gone, on both engines.
    [
        *(("sqlite", *change) for change in CHANGES),
        *(("postgresql", *CHANGES[number]) for number in (0, 4, 11)),
    ],
    indirect=["new_database"],
)
def test_change_is_found(statement: str, found: str, store: Store) -> None:
    """The problem names the record that was altered, deleted or cut off."""
    append(store, draft(1), draft(2), draft(3))
    assert problem(store) is None
    run(store, statement)
    assert (problem(store) or "").startswith(found)


def rewrite(store: Store, number: int) -> None:
    """Alter a record and give it the right hash for its new content."""

    def forge(database: Database) -> None:
        columns = ", ".join(bulk.columns(AdviceRow))
        select = f"SELECT {columns} FROM advice WHERE number IN (?, ?) ORDER BY number"
        before, row = bulk.run(database, select, number - 1, number).fetchall()
        altered = [*row[:5], "sell", *row[6:-3]]
        hash_ = records._chain_hash(before[-1], tuple(altered))
        bulk.run(database, "UPDATE advice SET action = 'sell', hash = ? WHERE number = ?", hash_, number)

    store.write(forge).result()


def test_a_record_with_a_new_hash_of_its_own_is_found(store: Store) -> None:
    """The next record, or the end of the chain, has the old hash."""
    append(store, *map(draft, range(1, 5)))
    rewrite(store, 4)
    assert problem(store) == "the record of its end was altered"
    rewrite(store, 2)
    assert problem(store) == "record 3 was altered, or does not follow the record before it"


def test_chain_made_again_does_not_contain_a_noted_head(store: Store) -> None:
    """A head that was noted elsewhere shows that the end of the chain was rewritten consistently."""
    append(store, *map(draft, range(1, 5)))
    noted = store.read(records.verify).head
    first = store.read(lambda d: [f"{row.number}:{row.hash}" for row in records.latest(d)])[-1]
    rewrite(store, 4)
    run(store, "UPDATE advice_chain SET hash = (SELECT hash FROM advice WHERE number = 4)")
    assert problem(store) is None
    found = store.read(partial(records.verify, noted=noted)).problem
    assert found == f"the chain does not lead through {noted}: it was made again, or pruned beyond it"
    append(store, draft(5))
    assert store.read(partial(records.verify, noted=first)).ok
    records.prune(vault_of(store), before_ms=2 * DAY_MS, now_ms=9)
    assert store.read(partial(records.verify, noted=first)).ok


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM advice_chain"],
        ["DELETE FROM advice_chain WHERE name = 'head'", "DELETE FROM user_token"],
        ["DELETE FROM advice_chain WHERE name = 'head'", "DELETE FROM advice", "DELETE FROM user_token"],
    ],
    ids=["records", "records and pruned", "pruned"],
)
def test_lost_chain_never_verifies_again(statements: list[str], store: Store) -> None:
    """A chain without its head is lost while any trace of it is left; new records are still added."""
    append(store, draft(1), draft(2), draft(3))
    records.prune(vault_of(store), before_ms=2 * DAY_MS, now_ms=9)
    for statement in statements:
        run(store, statement)
    for number in (4, 5):
        assert problem(store)
        append(store, draft(number))
        assert problem(store)
    assert store.read(records.latest)[0].id == "record-5"


def test_a_users_token_is_no_trace_of_advice(store: Store) -> None:
    """An export of a user makes a token too; the chain begins as in a new database."""
    store.write(partial(user_token, user="ann")).result()
    assert problem(store) is None
    append(store, draft(1))
    assert problem(store) is None


def test_bars_and_news_can_be_deleted(store: Store) -> None:
    """The chain verifies without them."""
    append(store, draft(1), draft(2))
    run(store, "UPDATE advice SET bars = NULL, news = NULL WHERE number = 1")
    assert problem(store) is None


def test_oldest_records_are_pruned(store: Store) -> None:
    """The chain continues from the last deleted record, which the journal names; unused tokens go too."""
    append(store, draft(1), draft(2), draft(3, user="bob"), draft(4, user="bob"))
    assert records.prune(vault_of(store), before_ms=3 * DAY_MS, now_ms=9) == 2
    assert [row.id for row in store.read(records.latest)] == ["record-4", "record-3"]
    assert problem(store) is None
    ((event, after),) = store.read(
        lambda d: list(JournalRow.select(JournalRow.event, JournalRow.after).tuples().execute(d))
    )
    links = {
        row.name: f"{row.number}:{row.hash}"
        for row in store.read(lambda d: list(LinkRow.select().execute(d)))
    }
    assert (event, after) == ("advice.pruned", links["pruned"])
    assert store.read(lambda d: [row.user for row in UserTokenRow.select().execute(d)]) == ["bob"]
    assert records.prune(vault_of(store), before_ms=3 * DAY_MS, now_ms=9) == 0
    append(store, draft(5))
    run(store, "DELETE FROM advice WHERE number = 3")
    assert problem(store) == "record 3 is missing"


def test_all_records_may_be_pruned(store: Store) -> None:
    """The next record follows the last deleted one; an old record after a newer one is kept."""
    append(store, draft(5), draft(1))
    assert records.prune(vault_of(store), before_ms=3 * DAY_MS, now_ms=9) == 0
    assert records.prune(vault_of(store), before_ms=6 * DAY_MS, now_ms=9) == 2
    assert problem(store) is None
    append(store, draft(7))
    assert [row.number for row in store.read(records.latest)] == [3]
    assert problem(store) is None


@pytest.mark.parametrize("written", [None, GOOD], ids=["generated", "model"])
def test_a_record_replays(written: str | None, store: Store) -> None:
    """Computed again from its bars, everything is the same to the last digit."""
    append(store, draft(1, written=written))
    record = store.read(lambda d: records.find(d, "record-1"))
    assert replay(record) == Replay("record-1", ())


def test_a_record_in_another_currency_replays(store: Store) -> None:
    """The currency of the prices is part of the record."""
    append(store, draft(1, currency="JPY"))
    record = store.read(lambda d: records.find(d, "record-1"))
    assert "136.36 JPY" in record.content
    assert replay(record).agrees


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda then: then["assessment"].update(action="sell"), "assessment.action: 'sell' then, 'buy' now"),
        (
            lambda then: then["assessment"]["indicators"].update(rsi_14=1.5),
            "indicators.rsi_14: 1.5 then, 68.",
        ),
        (lambda then: then["rules"].update(buy=[0.9, 0.9]), "assessment.action: 'buy' then, 'hold' now"),
        (lambda then: then.update(text="Buy."), "text: 'Buy.' then, '## Summary"),
        (lambda then: then["risk_notes"].pop(), "risk_notes: 4 entries then, 5 entries now"),
    ],
)
def test_a_replay_says_what_differs(
    change: Callable[[dict[str, Any]], object], difference: str, store: Store
) -> None:
    """Each difference has the name, the old value and the new one."""
    append(store, draft(1))
    record = store.read(lambda d: records.find(d, "record-1"))
    content = json.loads(record.content)
    change(content["computed"])
    record.content = json.dumps(content)
    found = replay(record)
    assert not found.agrees
    assert any(difference in each for each in found.differences), found.differences


def test_a_replay_of_other_bars_is_refused(store: Store) -> None:
    """Bars with another hash than the record's are refused."""
    append(store, draft(1, bars="[]"))
    with pytest.raises(InvalidRequest, match="the bars of record record-1 were altered"):
        replay(store.read(lambda d: records.find(d, "record-1")))


def test_a_record_of_the_older_design_is_shown_but_not_replayed(store: Store) -> None:
    """Records from before the sentences with slots verify and are shown; a replay says what they are."""
    old = draft(1)
    computed = {
        name: value for name, value in old.content["computed"].items() if name not in ("design", "sentences")
    }
    computed |= {
        "text": "Buy AAPL: it rose.",
        "source": "repaired",
        "written": "Buy AAPL: it rose.",
        "grounding": [],
    }
    computed["rules"] = {**computed["rules"], "mode": "verify"}
    append(store, replace(old, content={**old.content, "computed": computed}))
    assert problem(store) is None
    record = store.read(lambda d: records.find(d, "record-1"))
    view = AdviceView.from_record(record)
    assert (view.text, view.source) == ("Buy AAPL: it rose.", "repaired")
    with pytest.raises(InvalidRequest, match="was made by an older design of advice"):
        replay(record)
