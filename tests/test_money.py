"""Money: whole nano-USD inside, exact decimals outside."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.money import NANO, decimal, show, to_nano, to_usd

BIGINT = 2**63 - 1


@given(st.integers(0, BIGINT))
def test_nano_to_usd_and_back_loses_nothing(nano: int) -> None:
    """Every amount a database column can hold survives the way to USD and back."""
    assert to_nano(to_usd(nano)) == nano


@given(st.decimals(0, 10**6, places=15))
def test_a_bound_is_rounded_up_by_less_than_one_nano(usd: Decimal) -> None:
    """What is rounded up is never below the amount, and never a whole nano above it."""
    assert 0 <= to_nano(usd, round_up=True) - usd * NANO < 1


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_a_sum_does_not_depend_on_where_it_is_made(amounts: list[int]) -> None:
    """Summing USD gives the same as summing nano-USD."""
    assert sum(map(to_usd, amounts)) == to_usd(sum(amounts))


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(0.1, 100_000_000), ("0.1", 100_000_000), (Decimal("0.1"), 100_000_000), (3, 3 * NANO), ("1e-9", 1)],
)
def test_an_amount_means_what_a_person_wrote(usd: Decimal | float | str, nano: int) -> None:
    """A float, a text and a decimal that look alike are the same amount."""
    assert to_nano(usd) == nano


@pytest.mark.parametrize(("usd", "nano"), [("1.4e-9", 1), ("1.5e-9", 2), ("2.5e-9", 2), ("2.6e-9", 3)])
def test_what_is_below_a_nano_goes_to_the_nearest(usd: str, nano: int) -> None:
    """Half a nano goes to the even neighbour, so that many roundings do not drift."""
    assert to_nano(usd) == nano


@pytest.mark.parametrize(
    "wrong", ["", "a dollar", "1,50", "nan", "inf", float("nan"), float("-inf"), True, "1e999999", "-1e28"]
)
def test_what_is_no_amount_is_refused_by_name(wrong: str | float) -> None:
    """The error shows the value that is not a finite number."""
    with pytest.raises(ValueError, match="amount of money") as caught:
        decimal(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (1, "$0.000000001"),
        (50 * NANO, "$50.00"),
        (1_234_567 * NANO, "$1,234,567.00"),
        (Decimal("2.50"), "$2.50"),
        (Decimal("1E+3"), "$1,000.00"),
        (Decimal("0.0000001"), "$0.0000001"),
    ],
)
def test_a_person_reads_two_decimals_and_all_small_change(amount: Decimal | int, text: str) -> None:
    """An amount has at least two decimals, never an exponent, and no digit is dropped."""
    assert show(amount) == text
