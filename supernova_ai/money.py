"""Money: integers of nano-USD in the database, ``Decimal`` USD in Python, never a sum of floats."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation

from supernova_ai.characters import quoted

NANO = 1_000_000_000
"""Nano-USD per USD."""


def decimal(amount: Decimal | int | float | str) -> Decimal:
    """Return the amount as the decimal that was written: 0.1 is exactly one tenth.

    Raises:
        ValueError: it is not a finite number, or is 10^28 or more.
    """
    try:
        value = Decimal(str(amount))
    except (InvalidOperation, ValueError):
        raise ValueError(f"{quoted(amount)} is not an amount of money") from None
    if not value.is_finite() or value.adjusted() > 27:  # larger ones could overflow when multiplied
        raise ValueError(f"{quoted(amount)} is not a finite amount of money")
    return value


def to_nano(usd: Decimal | int | float | str, *, round_up: bool = False) -> int:
    """Convert USD to whole nano-USD.

    Args:
        usd: an amount in USD.
        round_up: round up to a whole nano-USD (for an upper bound); otherwise to the nearest.

    >>> to_nano("0.000000002")
    2
    >>> to_nano(0.1)
    100000000
    """
    exact = decimal(usd) * NANO
    return int(exact.to_integral_value(rounding=ROUND_CEILING if round_up else ROUND_HALF_EVEN))


def to_usd(nano: int) -> Decimal:
    """Convert whole nano-USD to USD, exactly.

    >>> to_usd(1_500)
    Decimal('0.0000015')
    """
    return (Decimal(nano) / NANO).normalize() + 0


def show(amount: Decimal | int) -> str:
    """Format an amount (``Decimal`` USD or ``int`` nano-USD) with at least two decimals and all its digits.

    >>> show(12_340_000_000), show(1_500), show(0)
    ('$12.34', '$0.0000015', '$0.00')
    """
    usd = to_usd(amount) if isinstance(amount, int) else amount
    digits = usd.normalize().as_tuple().exponent
    assert isinstance(digits, int)  # only NaN and infinities have a letter
    return f"${usd:,.{max(2, -digits)}f}"


def rounded(nano: int) -> str:
    """Format an amount in nano-USD to the cent; if that has fewer than three significant digits, to three.

    >>> rounded(1_234_567_000_000), rounded(1_234_000)
    ('$1,234.57', '$0.00123')
    """
    usd = to_usd(nano)
    dollars, _, cents = f"{usd:,.{max(2, 2 - usd.adjusted())}f}".partition(".")
    return f"${dollars}.{cents.rstrip('0'):0<2}"
