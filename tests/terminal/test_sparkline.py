"""Sparklines show a series of numbers in a few characters."""

from __future__ import annotations

import pytest

from supernova_ai.terminal.cost_tables import sparkline


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([0, 0], "··"),
        ([7], "█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([1, 10**12], "▁█"),
    ],
)
def test_bars_are_scaled_from_zero(values: list[int], drawn: str) -> None:
    """The highest value is a full bar, the others are in proportion, and a zero is a dot."""
    assert sparkline(values) == drawn


def test_many_values_fit_the_width() -> None:
    """If there are more values than columns, each bar is the sum of neighbours."""
    assert sparkline([1, 1, 1, 1, 4, 4, 0, 0, 2], width=5) == "▂▂█·▂"
    assert len(sparkline([1] * 100, width=24)) <= 24
