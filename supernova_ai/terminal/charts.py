"""Small pictures of numbers, made of characters."""

from __future__ import annotations

from collections.abc import Sequence

_STEPS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, width: int = 24) -> str:
    """Draw one bar per value, on a scale from zero to the highest; a zero is a dot.

    Args:
        values: none below zero.
        width: of more values than this, neighbours are drawn as one bar: their sum.

    >>> sparkline([0, 1, 5, 10])
    '·▁▄█'
    """
    together = -(-len(values) // width)
    bars = [sum(values[start : start + together]) for start in range(0, len(values), together or 1)]
    highest = max(bars, default=0)
    return "".join(_STEPS[max(0, round(bar / highest * 8) - 1)] if bar else "·" for bar in bars)
