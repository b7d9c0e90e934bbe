"""Many rows at once: any value comes back as it was, and a batch is inserted whole or not at all."""

from __future__ import annotations

from functools import partial

import pytest
from peewee import Database

from supernova_ai.errors import StoreError
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AnswerRow, AttemptRow

ODD = "tab\there, newline\nthere, \\N and \\. and \\x00, “quotes”, \u2028, 𝕊"


def place_of(number: int) -> bulk.Row:
    return (f"{number}{ODD}", "", number, 2**62, bytes(range(256)) * (number % 3))


def read(store: Store) -> list[bulk.Row]:
    pages = store.read(
        lambda database: list(bulk.pages(database, AnswerRow, order=("created_ms",), size=100))
    )
    return [(*row[:-1], bytes(row[-1])) for page in pages for row in page]


def test_rows_come_back_as_they_were(store: Store) -> None:
    """Text with signs of every format, large numbers and bytes, over several statements and pages."""
    rows = [place_of(number) for number in range(7_000)]
    store.write(partial(bulk.insert, table=AnswerRow, rows=rows)).result()
    assert read(store) == rows


def test_some_columns_leave_the_others_to_their_defaults(store: Store) -> None:
    """A row of an older version has fewer columns."""

    def insert(database: Database) -> None:
        names = (
            "id request process task tier provider model state held_nano cost_nano windows prompt_tokens "
            "completion_tokens cached_tokens cache_write_tokens reasoning_tokens started_ms config_version "
            "price_version late"
        )
        row = ("a", "r", "p", "t", "t", "o", "m", "lost", 1, 0, "[]", 0, 0, 0, 0, 0, 5, "c", "p", 0)
        bulk.insert(database, AttemptRow, [row], names.split())

    store.write(insert).result()
    (found,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert (found.id, found.request, found.user, found.environment) == ("a", "r", None, None)


def test_a_batch_with_a_bad_row_inserts_nothing(store: Store) -> None:
    """The error is a StoreError, and the store goes on."""
    rows = [place_of(number) for number in range(100)]
    with pytest.raises(StoreError, match="could not be used"):
        store.write(partial(bulk.insert, table=AnswerRow, rows=[*rows, rows[0]])).result()
    assert read(store) == []
    store.write(partial(bulk.insert, table=AnswerRow, rows=rows)).result()
    assert len(read(store)) == 100
