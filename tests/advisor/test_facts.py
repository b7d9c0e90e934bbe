"""Facts have one notation everywhere."""

from __future__ import annotations

import doctest
from datetime import date, datetime

import pytest

from supernova_ai.advisor import facts
from supernova_ai.advisor.facts import Fact, Unit
from supernova_ai.advisor.language import language
from supernova_ai.advisor.slots import FactTable


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "price", "$1,234.50"),
        (187.4561, "price", "$187.46"),
        (1.08452, "price", "$1.0845"),
        (0.00001234, "price", "$0.00001234"),
        (-0.452, "price", "-$0.452"),
        (0.0, "price", "$0.00"),
        (12.34, "percent", "12.3 %"),
        (12.35, "percent", "12.4 %"),
        (-3.474, "percent", "-3.5 %"),
        (-0.3474, "percent", "-0.35 %"),
        (-0.0, "percent", "0.0 %"),
        (1234.56, "percent", "1,234.6 %"),
        (2.045, "ratio", "2.05"),
        (0.12, "ratio", "0.12"),
        (1234567, "count", "1,234,567"),
        (62.31, "count", "62.3"),
        (-1500.0, "count", "-1,500"),
        (31.42, "number", "31.42"),
        (-1234567.125, "number", "-1,234,567.125"),
        (date(2026, 11, 20), "number", "20 November 2026"),
        (datetime(2026, 11, 20, 14, 30), "number", "20 November 2026, 14:30 UTC"),
        ("AAPL", "number", "“AAPL”"),
    ],
)
def test_each_unit_has_one_notation(value: float | date | str, unit: Unit, text: str) -> None:
    """Values are rounded half up; small ones keep their significant digits, and none is minus zero."""
    assert language().value(Fact("x", value, name="x", unit=unit, source="a test")) == text


def test_the_table_numbers_its_facts() -> None:
    """A header line, then one line per fact: number, id, name, value and source."""
    table = FactTable(
        [
            Fact("symbol", "AAPL", name="symbol", source="the request"),
            Fact("close", 187.4561, name="close", unit="price", source="the last close"),
        ]
    )
    assert table.table().splitlines() == [
        "no. id | fact | value | where it comes from",
        "1. symbol | symbol | AAPL | the request",
        "2. close | close | $187.46 | the last close",
    ]


def test_the_examples_in_the_docstrings() -> None:
    """They give the values that they show."""
    result = doctest.testmod(facts)
    assert (result.failed, result.attempted) == (0, 1)
