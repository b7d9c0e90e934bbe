"""A stop and a size by arithmetic: labelled so, and only where something is kept."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai import InvalidRequest
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.ensemble import Action, Assessment, Holding, assess
from supernova_ai.advisor.explain import fact_table, risk_notes
from supernova_ai.advisor.language import language
from supernova_ai.advisor.levels import level_facts
from supernova_ai.advisor.request import read_request
from supernova_ai.config import AdviceRules
from supernova_ai.config.advice import AssetClass
from tests.advisor.sample_advice import SAMPLE, SEED

LABEL = "by arithmetic, not a promise: "
BARE = assess(SAMPLE, **SEED)


def levels(
    action: Action, holding: Holding = "unknown", risk: float | None = 500.0, **more: Any
) -> Assessment:
    """The assessment of the sample with another action, and its levels."""
    rules = AdviceRules.model_validate({name: more.pop(name) for name in ("stop",) if name in more})
    other = replace(BARE, action=action, holding=holding, **more)
    return replace(other, facts=(*other.facts, *level_facts(other, risk, rules, language())))


@pytest.mark.parametrize(
    ("slot", "shown"),
    [
        ("{stop_distance.is}", f"{LABEL}a stop 2 average true ranges away has a distance of $3.84"),
        ("{stop_price.is}", f"{LABEL}a stop 2 average true ranges below the close is at $132.52"),
        (
            "{close.vs.stop_price}",
            "the close ($136.36) is 2.9 % above the stop price by arithmetic ($132.52)",
        ),
        ("{stop_distance.vs.atr_14}", "the stop distance by arithmetic ($3.84) is above the 14-day average"),
        ("{position_size.is}", f"{LABEL}a position of 130 units would lose up to $500.00 at a stop"),
    ],
)
def test_levels_say_that_they_are_arithmetic(slot: str, shown: str) -> None:
    """Every statement, and every name, says what they are."""
    assert fact_table(levels("buy")).fill(slot).startswith(shown)


SIZE = "A position of 130 units would lose up to $500.00 there, and more if the price jumps past it."


@pytest.mark.parametrize("action", ["buy", "hold", "reduce", "avoid", "sell"])
@pytest.mark.parametrize("holding", ["unknown", "held", "none"])
def test_a_stop_never_contradicts_the_action(action: Action, holding: Holding) -> None:
    """Where nothing is kept there is neither fact nor note; a size belongs to a purchase."""
    found = levels(action, holding)
    text = " ".join(risk_notes(found))
    has_stop = action == "buy" or (action, holding) in (
        ("hold", "unknown"),
        ("hold", "held"),
        ("reduce", "held"),
    )
    assert ("stop_price" in fact_table(found), "By arithmetic, not a promise: a stop 2" in text) == (
        has_stop,
        has_stop,
    )
    assert ("position_size" in fact_table(found), SIZE in text) == (action == "buy", action == "buy")
    assert ("stop" in text) is has_stop


def test_the_distance_is_a_setting() -> None:
    """``advice.stop`` is the number of average true ranges."""
    assert fact_table(levels("buy", stop=3.5)).shown("stop_price") == "$129.64"
    assert "a stop 3.5 average true ranges below the close" in " ".join(risk_notes(levels("buy", stop=3.5)))


def test_a_unit_may_be_too_large_for_the_risk() -> None:
    """Then the size is none, and the note says why."""
    found = levels("buy", risk=1)
    assert fact_table(found).number("position_size") == 0
    assert "One unit alone would lose more than $1.00 there." in " ".join(risk_notes(found))
    assert fact_table(found).fill("{position_size.is}") == (
        f"{LABEL}one unit alone would lose more than $1.00 at a stop"
    )


def test_without_a_risk_there_is_no_size() -> None:
    """The stop alone is noted."""
    assert "position_size" not in fact_table(levels("buy", risk=None))
    assert " units" not in " ".join(risk_notes(levels("buy", risk=None)))


@given(
    risk=st.floats(1e-6, 1e12),
    asset_class=st.sampled_from(["stock", "crypto", "fx", "futures", "option"]),
)
def test_a_size_never_risks_more(risk: float, asset_class: AssetClass) -> None:
    """Size times distance is at most the risk, and at most one unit or a thousandth below it."""
    table = fact_table(levels("buy", risk=risk, asset_class=asset_class))
    size, distance = table.number("position_size"), table.number("stop_distance")
    assert size is not None
    assert distance is not None
    assert size * distance <= risk * (1 + 1e-9)
    if asset_class in ("stock", "option", "futures"):
        assert size == int(size)
        assert (size + 1) * distance > risk * (1 - 1e-9)
    else:
        assert size * distance > risk * 0.999


def test_a_flat_or_wild_price_has_no_stop() -> None:
    """No movement gives no distance, and a stop at zero or below would be none."""
    flat = History(
        tuple(replace(bar, open=9.0, high=9.0, low=9.0, close=9.0) for bar in SAMPLE.bars), SAMPLE.period
    )
    found = read_request("X", {"position": {"quantity": 5}}).assess(flat, AdviceRules())
    assert (found.action, "stop_price" in fact_table(found)) == ("hold", False)
    assert "stop_price" not in fact_table(levels("buy", stop=100))


@pytest.mark.parametrize("risk", [0, -5, float("nan"), float("inf"), "500", True, [500]])
def test_a_wrong_risk_is_refused(risk: Any) -> None:
    """It must be an amount above zero."""
    with pytest.raises(InvalidRequest, match=re.escape("risk_per_trade is ")):
        read_request("AAPL", {"risk_per_trade": risk})
