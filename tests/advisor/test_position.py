"""What the client holds gives facts and chooses the words; the horizon chooses the look-back."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from supernova_ai import InvalidRequest
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.explain import fact_table, risk_notes, summary
from supernova_ai.advisor.position import holding_of, read_position
from supernova_ai.advisor.request import read_request
from supernova_ai.config import AdviceRules
from tests.advisor.sample_advice import SAMPLE, SEED

HELD = {"quantity": 100, "cost_basis": 150.0, "weight": 0.3, "opened": "2026-03-02"}


def found(position: Any, **more: Any) -> Assessment:
    return read_request("AAPL", {**SEED, "position": position, **more}).assess(SAMPLE, AdviceRules())


@pytest.mark.parametrize(
    ("slot", "shown"),
    [
        ("{quantity.is}", "the position has 100 units"),
        ("{close.vs.cost_basis}", "the close ($136.36) is 9.1 % below the average price paid ($150.00)"),
        ("{position_value.is}", "the value of the position is $13,636.00"),
        ("{position_change}", "gain or loss of the position (-9.1 %)"),
        ("{position_change.is}", "the position has lost 9.1 %"),
        ("{position_change.move}", "the position fell by 9.1 %"),
        ("{position_gain.is}", "the position has lost $1,364.00"),
        ("{position_weight.is}", "the position is 30.0 % of the portfolio"),
        ("{opened.is}", "the position was opened on 2 March 2026"),
        ("{days_held.is}", "the number of days held is 263"),
    ],
)
def test_a_position_has_facts(slot: str, shown: str) -> None:
    """Each can be stated; a loss has its own words, and no sign."""
    assert fact_table(found(HELD)).fill(slot) == shown


@pytest.mark.parametrize(
    ("paid", "change", "gain"),
    [
        (100, "the position has gained 36.4 %", "the position has gained $3,636.00"),
        (136.36, "the position has neither gained nor lost", "the position has neither gained nor lost"),
    ],
)
def test_gains_and_losses_have_words(paid: float, change: str, gain: str) -> None:
    """A gain, and a position that is worth what was paid."""
    table = fact_table(found({"quantity": 100, "cost_basis": paid}))
    assert (table.fill("{position_change.is}"), table.fill("{position_gain.is}")) == (change, gain)


def test_the_summary_says_what_the_position_gained() -> None:
    """After what to do; without a price paid there is nothing to say."""
    texts = [each.text for each in summary(found(HELD))]
    assert "The position has lost 9.1 %." in texts
    assert not any("The position has" in each.text for each in summary(found({"quantity": 100})))


@pytest.mark.parametrize(
    ("position", "holding"),
    [
        (None, "unknown"),
        ({}, "unknown"),
        ({"horizon": "long"}, "unknown"),
        ({"weight": 0}, "unknown"),
        ({"quantity": None, "weight": None}, "unknown"),
        ({"quantity": 0}, "none"),
        ({"quantity": 0, "cost_basis": 120, "opened": "2026-03-02"}, "none"),
        ({"quantity": 0.001}, "held"),
        ({"weight": 0.01}, "held"),
        ({"cost_basis": 120}, "held"),
        ({"opened": "2026-03-02"}, "held"),
    ],
)
def test_what_is_held_is_known(position: Any, holding: str) -> None:
    """The quantity decides; without it, whatever only a holder has."""
    assert holding_of(read_position(position)) == holding
    assert found(position).holding == holding
    if holding != "held":
        assert "cost_basis" not in fact_table(found(position))


@pytest.mark.parametrize("holding", ["held", "none"])
def test_the_words_follow_the_position(holding: str) -> None:
    """Who holds it is told to buy more; who holds nothing is told to buy."""
    first = summary(found({"quantity": 5 if holding == "held" else 0}))[0].text
    assert ("buy more AAPL" if holding == "held" else "buy AAPL") in first


def test_the_horizon_chooses_the_look_back() -> None:
    """Short and long compare other averages than medium, which is the default."""
    averages = {
        horizon: next(
            signal.facts for signal in found({"horizon": horizon}).signals if "cross" in signal.name
        )
        for horizon in ("short", "medium", "long")
    }
    assert averages == {
        "short": ("ema_12", "ema_26"),
        "medium": ("sma_20", "sma_50"),
        "long": ("sma_50", "sma_200"),
    }
    assert found({"horizon": "medium"}) == found(None)


@pytest.mark.parametrize(
    ("quantity", "shown"),
    [(np.int64(3), "3"), (np.float64(0.5), "0.5"), (Decimal("0.12345678"), "0.12345678"), (1e6, "1,000,000")],
)
def test_quantities_of_many_types_are_read(quantity: Any, shown: str) -> None:
    """Every digit of a quantity is shown."""
    assert fact_table(found({"quantity": quantity})).shown("quantity") == shown


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (
            {"quantity": -5},
            "position has quantity -5: it must be 0 to 1e+12 units: short positions are not",
        ),
        ({"quantity": "5"}, "position has quantity '5': it must be a number"),
        ({"quantity": True}, "position has quantity True: it must be a number"),
        ({"quantity": float("nan")}, "position has quantity nan: it must be 0 to"),
        ({"quantity": 1e300}, "position has quantity 1e+300"),
        ({"quantity": 1e12, "cost_basis": 1e9}, "position has quantity 1000000000000, whose value is above"),
        ({"cost_basis": 0}, "position has cost_basis 0: it must be the average price paid for a unit, above"),
        ({"cost_basis": float("inf")}, "position has cost_basis inf"),
        ({"weight": 40}, "position has weight 40: it must be a share of the portfolio from 0 to 1, such as"),
        ({"weight": -0.1}, "position has weight -0.1"),
        ({"quantity": 0, "weight": 0.4}, "position has quantity 0 and weight 0.4: what is not held has no"),
        ({"opened": "March"}, "position has opened 'March': it must be a date such as 2026-11-20"),
        ({"opened": "2026-12-01"}, "position has opened 2026-12-01, and today is 2026-11-22: it must not be"),
        ({"horizon": "forever"}, "position has horizon 'forever': it must be one of short, medium, long"),
        ({"horizon": 5}, "position has horizon 5: it must be one of short"),
        ({"shares": 5}, "position has 'shares': known are quantity, cost_basis, weight, opened, horizon"),
        (100, "position is 100: give a dict of quantity, cost_basis, weight, opened, horizon"),
    ],
)
def test_wrong_positions_are_refused(position: Any, message: str) -> None:
    """The error names the part and what is right."""
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        found(position)


@pytest.mark.parametrize("opened", [date(2026, 11, 21), datetime(2026, 11, 22, 9, tzinfo=UTC)])
def test_a_position_may_be_newer_than_the_bars(opened: date) -> None:
    """Opened after the last bar, and not after today: held for no day, and without a gain or loss."""
    table = fact_table(found({**HELD, "opened": opened}))
    assert table.number("days_held") == 0
    assert {"cost_basis", "position_value"} <= set(table)
    assert not {"position_change", "position_gain"} & set(table)


def test_the_currency_is_that_of_the_bars() -> None:
    """Price paid, value and gain are in it."""
    table = fact_table(found(HELD, currency="EUR"))
    assert table.fill("{position_gain.is}") == "the position has lost 1,364.00 EUR"
    assert table.fill("{cost_basis.is}") == "the average price paid is 150.00 EUR"


def test_the_notes_are_those_of_the_holding() -> None:
    """Of two assessments that differ in what is held, the first note differs."""
    one = found(None)
    notes = {risk_notes(replace(one, holding=holding))[0] for holding in ("held", "none")}
    assert len(notes) == 2
