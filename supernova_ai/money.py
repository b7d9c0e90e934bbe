"""Money: integers of nano-USD inside, ``Decimal`` USD outside, never a float sum."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation

NANO = 1_000_000_000
"""Nano-USD in one USD."""


def decimal(amount: Decimal | int | float | str) -> Decimal:
    """Return the amount as the decimal a person wrote, so that ``0.1`` means one tenth.

    Raises:
        ValueError: it is not a finite number, or one beyond all money.
    """
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount of money") from None
    if not value.is_finite() or value.adjusted() > 27:  # so that none overflows when it is multiplied
        raise ValueError(f"{amount!r} is not a finite amount of money")
    return value


def to_nano(usd: Decimal | int | float | str, *, round_up: bool = False) -> int:
    """Convert USD to whole nano-USD.

    Args:
        usd: an amount of USD.
        round_up: round away what is below a nano upwards (for a bound); otherwise to the nearest.

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
    """Write an amount (``Decimal`` USD or ``int`` nano-USD) for a person, without losing small change.

    >>> show(12_340_000_000), show(1_500), show(0)
    ('$12.34', '$0.0000015', '$0.00')
    """
    usd = to_usd(amount) if isinstance(amount, int) else amount
    digits = usd.normalize().as_tuple().exponent
    assert isinstance(digits, int)  # only NaN and infinities have a letter there
    return f"${usd:,.{max(2, -digits)}f}"
