"""Money is whole nano-USD in the database and exact decimals in Python."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.money import NANO, decimal, show, to_nano, to_usd

BIGINT = 2**63 - 1


@given(st.integers(0, BIGINT))
def test_nano_to_usd_and_back_loses_nothing(nano: int) -> None:
    """Every amount of a database column converts to USD and back exactly."""
    assert to_nano(to_usd(nano)) == nano


@given(st.decimals(0, 10**6, places=15))
def test_a_bound_is_rounded_up_by_less_than_one_nano(usd: Decimal) -> None:
    """An amount rounded up is not below the amount, and less than one nano-USD above it."""
    assert 0 <= to_nano(usd, round_up=True) - usd * NANO < 1


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_sums_are_equal_in_both_units(amounts: list[int]) -> None:
    """The sum of USD amounts equals the sum of nano-USD."""
    assert sum(map(to_usd, amounts)) == to_usd(sum(amounts))


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(0.1, 100_000_000), ("0.1", 100_000_000), (Decimal("0.1"), 100_000_000), (3, 3 * NANO), ("1e-9", 1)],
)
def test_an_amount_is_the_decimal_as_written(usd: Decimal | float | str, nano: int) -> None:
    """A float, a text and a decimal with equal digits are the same amount."""
    assert to_nano(usd) == nano


@pytest.mark.parametrize(("usd", "nano"), [("1.4e-9", 1), ("1.5e-9", 2), ("2.5e-9", 2), ("2.6e-9", 3)])
def test_fractions_of_a_nano_are_rounded_half_even(usd: str, nano: int) -> None:
    """Half a nano-USD is rounded to the even neighbour, so that many roundings do not drift."""
    assert to_nano(usd) == nano


@pytest.mark.parametrize(
    "wrong", ["", "a dollar", "1,50", "nan", "inf", float("nan"), float("-inf"), True, "1e999999", "-1e28"]
)
def test_an_invalid_amount_is_refused(wrong: str | float) -> None:
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
def test_amounts_are_shown_with_all_their_digits(amount: Decimal | int, text: str) -> None:
    """An amount has at least two decimals, never an exponent, and no digit is dropped."""
    assert show(amount) == text
