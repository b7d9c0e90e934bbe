"""Attempts and lines are exported row by row, exactly, and safely for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.reports import export
from supernova_ai.reports.breakdown import lines
from supernova_ai.reports.periods import Period
from supernova_ai.store import Store
from supernova_ai.types import Usage
from tests.holds import OpenLedger, Take, settle

SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = Period("an hour", SUNDAY, SUNDAY + timedelta(hours=1))

Spend = Callable[..., None]


@pytest.fixture
def spend(open_ledger: OpenLedger, take: Take) -> Spend:
    """Take and settle a hold at one nano-USD."""
    ledger = open_ledger()

    def run(**given: Any) -> None:
        hold = take(ledger, "0.5", **given)
        settle(ledger, hold, "0.000000001", usage=Usage(3, 4), latency_ms=7)

    return run


def exported(store: Store, period: Period = HOUR, **given: Any) -> list[export.Row]:
    return store.read(lambda database: list(export.attempt_rows(database, period, **given)))


def text(columns: Any, rows: Any, form: export.Format) -> str:
    file = io.StringIO(newline="")
    export.write_rows(columns, rows, file, form)
    return file.getvalue()


def test_every_attempt_is_exported_once_in_order(store: Store, spend: Spend, clock: SimpleNamespace) -> None:
    """In pages of two, and with several attempts in the same millisecond, none is missing or repeated."""
    for name in "edcba":
        spend(id=name)
    clock.now += 1
    spend(id="0")
    assert [row["id"] for row in exported(store, size=2)] == [*"abcde", "0"]


def test_a_period_ends_before_the_next_begins(store: Store, spend: Spend, clock: SimpleNamespace) -> None:
    """An attempt at the first moment is in the period, one at the end is not."""
    spend(id="first")
    clock.now += 3600
    spend(id="next")
    assert [row["id"] for row in exported(store)] == ["first"]


def test_rows_are_read_page_by_page(store: Store, spend: Spend) -> None:
    """The first row is returned before the second page is read, so that memory holds one page."""
    for name in "ab":
        spend(id=name)

    def read(database: Any) -> tuple[str, int]:
        rows: Iterator[export.Row] = export.attempt_rows(database, HOUR, size=1)
        first = next(rows)["id"]
        database.execute_sql("UPDATE attempt SET id = 'changed meanwhile' WHERE id = 'b'")
        return first, len([row for row in rows if row["id"] == "changed meanwhile"])

    assert store.write(read).result() == ("a", 1)


def test_money_and_times_are_texts(store: Store, spend: Spend) -> None:
    """A nano-USD is written in full, times are ISO 8601 in UTC, and internal window ids are left out."""
    spend(id="one", user_id="ann")
    (row,) = exported(store)
    assert row["cost_usd"] == "0.000000001"
    assert row["held_usd"] == "0.5"
    assert row["started"] == row["ended"] == "2026-11-22T12:00:00.000+00:00"
    assert (row["user"], row["state"], row["prompt"], row["latency_ms"]) == ("ann", "settled", 3, 7)
    assert "windows" not in row
    assert tuple(row) == export.ATTEMPT_COLUMNS


def test_json_round_trips(store: Store, spend: Spend) -> None:
    """The written JSON reads back as the same rows, whatever a user is called."""
    spend(user_id='=cmd()"\n', session_id="ünï")
    spend()
    rows = exported(store)
    assert json.loads(text(export.ATTEMPT_COLUMNS, rows, "json")) == rows


@pytest.mark.parametrize(
    "before", ["", " ", "\u00a0", '"', "ann;", "ann; ", ";", *"\t\r\n\v\f", "ann\t", "ann\n ", ' \t"', ";;;"]
)
def test_csv_has_no_formula(before: str) -> None:
    """Wherever a spreadsheet may split or trim a text, an apostrophe goes before a formula."""
    signs = "=+-@＝＋－＠"
    rows = [{"user": f"{before}{sign}SUM(A1)", "note": 'a "b",\nc; d - e', "tokens": -1} for sign in signs]
    written = io.StringIO(text(("user", "note", "tokens"), rows, "csv"), newline="")
    for sign, row, found in zip(signs, rows, csv.DictReader(written), strict=True):
        cell = found.pop("user")
        assert found == {"note": row["note"], "tokens": "-1"}
        assert cell.replace("'", "") == row["user"]
        for part in [cell, *re.split(r"[;\t\v\f\r\n]", cell)]:
            assert not part.lstrip(' \u00a0"').startswith(sign)


def test_an_export_without_rows_is_valid() -> None:
    """The CSV has its header, and the JSON is an empty list."""
    assert text(("a", "b"), [], "csv") == "a,b\r\n"
    assert json.loads(text(("a", "b"), [], "json")) == []


def test_lines_are_written_with_their_rates(store: Store, spend: Spend) -> None:
    """A line has its success rate and its money in USD; in CSV the error classes are one cell."""
    spend()
    (line,) = store.read(lambda database: lines(database, HOUR))
    row = dict(export.line_row(line))
    assert (row["success_rate"], row["cost_usd"]) == (1.0, "0.000000001")
    assert row["cost_per_attempt_usd"] == "0.000000001"
    row["errors"] = {"RateLimited": 2, "Other": 1}
    (found,) = csv.DictReader(io.StringIO(text(export.LINE_COLUMNS, [row], "csv"), newline=""))
    assert found["errors"] == "RateLimited=2 Other=1"
    assert found["answer_p50_ms"] == "8"
