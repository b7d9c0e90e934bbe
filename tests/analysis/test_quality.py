"""The quality score of an answer, and its parts."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from supernova_ai.analysis import quality
from supernova_ai.analysis.quality import rate_quality

LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et "
    "dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi."
)
LISTED = "Summary: sales rose on demand.\n\n## Risks\nDebt is high.\n**Missing:** cash flow is not stated."


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        (" \n\t", 0, 0),
        ("12 34 56", 0, 0),
        (LOREM, 0, 0.2),
        (LOREM.removeprefix("Lorem ipsum "), 0, 0.2),
        ("asdf qwer zxcv uiop hjkl vbnm.", 0, 0.1),
        ("the the the the the the the the.", 0, 0.25),
        ("The stock is up. " * 10, 0, 0.1),
        ("Yes.", 0, 0.3),
        ("I'm sorry, but I can't help with that.", 0, 0.2),
        ("As an AI language model, I cannot give financial advice.", 0, 0.2),
        ("Unfortunately, I am unable to analyse this text.", 0, 0.2),
        ("I cannot provide an analysis of that company.", 0, 0.2),
        ("Error: the request timed out.", 0, 0.2),
        ("Great question! I hope this helps. Let me know if you need more.", 0.2, 0.7),
        ("The price rose and the", 0.3, 0.7),
        ("The text does not say.", 0.7, 1),
        ("Rates may rise, so bond prices may fall.", 0.9, 1),
        ("Neutral. The report gives no outlook.", 0.9, 1),
        ("Revenue grew 12 % and margins held.", 0.7, 1),
        ("Positive: orders grew, and the company raised its forecast.", 0.9, 1),
        ("Apple reported quarterly revenue of $94.9 billion, up 6 percent year on year.", 0.9, 1),
        ("Unfortunately, earnings fell and the outlook is weak.", 0.9, 1),
        ("Tesla shares tumbled after deliveries missed expectations.", 0.9, 1),
        ("Buy: the RSI is 62.3, and the price is above its 50-day average.", 0.9, 1),
        ("The filing states no guidance; debt doubled, which is the main risk.", 0.9, 1),
        ("- Demand is weak.\n- Costs are rising.\n- The dividend may be cut.", 0.9, 1),
        ("Hold. Nothing in the signals is strong enough to act on.", 0.9, 1),
    ],
)
def test_the_score_of_a_text(text: str, low: float, high: float) -> None:
    """An empty text scores 0, filler and refusals below 0.2, a short honest answer above 0.7."""
    found = rate_quality(text)
    assert low <= found.score <= high, found.parts


@pytest.mark.parametrize(
    ("text", "checks", "part", "value"),
    [
        (LISTED, {"sections": ("summary", "Risks", "Missing")}, "sections", 1),
        (LISTED, {"sections": ("Summary", "Outlook")}, "sections", 0.5),
        ("There is a risk of loss.", {"sections": ("Risk",)}, "sections", 0),
        ("The price rose on demand.", {"finish_reason": "length"}, "complete", 0.5),
        ("The price rose on demand.", {"finish_reason": "content_filter"}, "complete", 0.5),
        ("The price rose on demand.", {"finish_reason": "end_turn"}, "complete", 1),
        ("The price rose on demand", {"finish_reason": "stop"}, "complete", 0.7),
    ],
)
def test_each_part_limits_the_score(text: str, checks: dict[str, Any], part: str, value: float) -> None:
    """A part has its documented value, and the score is no higher than any part."""
    found = rate_quality(text, **checks)
    assert found.parts[part] == value
    assert found.score <= value


def test_the_score_is_the_product_of_its_parts() -> None:
    """A good part does not make up for a bad one, and the parts cannot be changed."""
    found = rate_quality("I'm sorry. The price rose", finish_reason="length")
    product = 1.0
    for value in found.parts.values():
        product *= value
    assert found.score == pytest.approx(product, abs=1e-4)
    with pytest.raises(TypeError):
        found.parts["says"] = 1  # type: ignore[index]


def test_the_example_in_the_docstring() -> None:
    """The example gives what it shows."""
    result = doctest.testmod(quality)
    assert (result.failed, result.attempted) == (0, 1)
