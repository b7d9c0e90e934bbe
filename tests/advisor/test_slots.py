"""Slots show names and values together, and statements that are computed from the facts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.advisor.facts import Fact, Unit, comparable, rounded_value
from supernova_ai.advisor.language import language
from supernova_ai.advisor.slots import FactTable, UnknownSlot

ENGLISH = language()


def fact(id_: str, value: float | str, unit: Unit = "price", **more: Any) -> Fact:
    return Fact(id_, value, name=id_.replace("_", " "), unit=unit, source="a test", **more)


FACTS = FactTable(
    [
        Fact("close", 110.0, name="close", unit="price", source="bars"),
        Fact("sma_50", 100.0, name="50-day average", unit="price", source="bars"),
        Fact("macd", -1.0, name="MACD", unit="price", scale="macd", source="bars"),
        Fact("macd_signal", -2.0, name="signal line of the MACD", unit="price", scale="macd", source="bars"),
        Fact(
            "change_20",
            -34.4,
            name="20-day change",
            unit="percent",
            source="x",
            period="20 days",
            change_of="price",
        ),
        Fact("change_1", 0.0, name="1-day change", unit="percent", source="x", change_of="price"),
        Fact(
            "growth",
            12.0,
            name="growth",
            unit="percent",
            source="10-K",
            period="one year",
            change_of="revenue",
        ),
        Fact("rsi_14", 70.34, name="14-day RSI", unit="count", scale="rsi", source="bars"),
        Fact(
            "rsi_overbought",
            70.0,
            name="overbought level of the RSI",
            unit="count",
            scale="rsi",
            source="rules",
        ),
        Fact(
            "rsi_oversold", 30.0, name="oversold level of the RSI", unit="count", scale="rsi", source="rules"
        ),
        Fact("regime", "ranging", name="market regime", source="rules"),
        Fact("symbol", "KO", name="symbol", source="the request"),
        Fact("action", "buy", name="action", source="the rules"),
        Fact("in_euros", 90.0, name="close in Frankfurt", unit="price", source="x", currency="EUR"),
    ]
)


@pytest.mark.parametrize(
    ("slot", "shown"),
    [
        ("{close}", "close ($110.00)"),
        ("{ sma_50 }", "50-day average ($100.00)"),
        ("{sma_50.name}", "50-day average"),
        ("{close.vs.sma_50}", "the close ($110.00) is 10.0 % above the 50-day average ($100.00)"),
        ("{sma_50.vs.close}", "the 50-day average ($100.00) is 9.1 % below the close ($110.00)"),
        ("{macd.vs.macd_signal}", "the MACD (-$1.00) is above its signal line (-$2.00)"),
        ("{rsi_14.vs.rsi_overbought}", "the 14-day RSI (70.3) is above the overbought level of the RSI (70)"),
        ("{change_20}", "20-day change (-34.4 %)"),
        ("{growth}", "growth (+12.0 %)"),
        ("{change_20.move}", "the price fell by 34.4 % over 20 days"),
        ("{change_1.move}", "the price did not change"),
        ("{growth.is}", "the revenue rose by 12.0 % over one year"),
        ("{rsi_14.is}", "the 14-day RSI (70.3) is overbought"),
        ("{rsi_overbought.is}", "the overbought level of the RSI is 70"),
        ("{regime.is}", "the market moves sideways"),
        ("{symbol}", "KO"),
        ("{note.past}", "Past prices are no reliable guide to future prices."),
    ],
)
def test_each_form_has_one_text(slot: str, shown: str) -> None:
    """The text of a slot follows from its facts alone."""
    assert FACTS.text(FACTS.slot(slot)) == shown


@pytest.mark.parametrize(
    ("slot", "reason"),
    [
        ("{sma_9}", "there is no fact 'sma_9'"),
        ("{action}", "there is no fact 'action'"),
        ("{close.vs.sma_9}", "there is no fact 'sma_9'"),
        ("{close.vs.rsi_14}", "cannot be compared"),
        ("{close.vs.in_euros}", "cannot be compared"),
        ("{close.vs.macd}", "cannot be compared"),
        ("{close.vs.close}", "cannot be compared"),
        ("{close.vs}", "no such form"),
        ("{close.move}", "close is not a change"),
        ("{close.value}", "no such form"),
        ("{regime.name}", "no such form"),
        ("{note.luck}", "there is no such note; the notes are rsi"),
        ("{note.adx}", "the note needs the fact 'adx_trending'"),
        ("{{close}}", "is not a slot: the forms are"),
        ("{1 + 1}", "is not a slot"),
        ("{}", "is not a slot"),
    ],
)
def test_an_unknown_slot_says_what_is_wrong(slot: str, reason: str) -> None:
    """No such fact, no such form, or two facts that cannot be compared."""
    with pytest.raises(UnknownSlot, match=re.escape(reason)):
        FACTS.slot(slot)


_numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


@given(_numbers, _numbers, st.sampled_from(["price", "percent", "ratio", "count"]))
def test_a_comparison_is_true_as_it_is_shown(first: float, second: float, unit: Unit) -> None:
    """For any two values: each name is beside its own value, and above and below agree with both figures."""
    one, two = fact("a_fact", first, unit, scale="x"), fact("other_fact", second, unit, scale="x")
    table = FactTable([one, two])
    assert comparable(one, two)
    text = table.text(table.slot("{a_fact.vs.other_fact}"))
    assert f"a fact ({ENGLISH.value(one)})" in text
    assert f"other fact ({ENGLISH.value(two)})" in text
    shown, other = rounded_value(one), rounded_value(two)
    word = "above" if first > second else "below"
    assert (f" {word} " in text) is (shown != other)
    assert (" is about level with " in text) is (shown == other)


@given(_numbers, st.sampled_from(["20 days", "63 hours", "the last week"]))
def test_a_move_never_has_a_double_negative(value: float, period: str) -> None:
    """Rose or fell agrees with the sign, the figure has none, and the period is the fact's own."""
    change = fact("change_20", value, "percent", period=period, change_of="price")
    table = FactTable([change])
    text = table.text(table.slot("{change_20.move}"))
    assert "-" not in text
    assert text.endswith(f" over {period}")
    verb = {1: "rose by", -1: "fell by", 0: "did not change"}[
        (rounded_value(change) > 0) - (rounded_value(change) < 0)
    ]
    assert f"the price {verb}" in text
