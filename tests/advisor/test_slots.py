"""In slots mode every figure is the exact value of a fact, and none is outside a slot."""

from __future__ import annotations

import pytest

from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.slots import check_slots, fill_slots
from supernova_ai.errors import InvalidRequest

FACTS = (
    Fact("symbol", "Symbol", "AAPL", "text", "the request"),
    Fact("close", "Close", 187.4561, "price", "the last close, 2026-11-20"),
    Fact("change_20", "Change over 20 bars", -3.47, "percent", "the last 20 closes"),
    Fact("rsi_14", "RSI (14)", 62.31, "count", "RSI over the last 14 closes"),
    Fact("adx_14", "ADX (14)", 25.1, "count", "ADX over the last 14 bars"),
)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{symbol}} closed at {{ close }}.", "AAPL closed at $187.46."),
        ("It closed at ${{close}}, moved {{change_20}}%.", "It closed at $187.46, moved -3.47 %."),
        ("It moved −{{change_20}} %.", "It moved -3.47 %."),
        ("No slot {here} at all.", "No slot {here} at all."),
    ],
)
def test_slots_are_filled(text: str, filled: str) -> None:
    """With or without spaces; a unit or a minus of the value is not written twice."""
    assert fill_slots(text, FACTS) == filled
    assert check_slots(text, FACTS, symbol="AAPL").grounded


def test_unknown_slot_is_refused() -> None:
    """The error names the slot and the facts; the report has one violation for it."""
    with pytest.raises(
        InvalidRequest, match=r"\{\{pe\}\}, which is not a fact; the facts are: symbol, close"
    ):
        fill_slots("The P/E is {{pe}}.", FACTS)
    report = check_slots("The P/E is {{pe}}.", FACTS)
    assert [(claim.kind, claim.text, claim.verdict) for claim in report.claims] == [
        ("slot", "{{pe}}", "unsupported")
    ]


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("It closed at $187.46.", "$187.46"),
        ("The RSI is {{rsi_14}}, up 5 % from 2026-11-20.", "2026-11-20"),
        ("It fell 3.47 %.", "3.47 %"),
        ("It is worth twice as much.", "twice"),
        ("MSFT closed at {{close}}.", "MSFT"),
    ],
)
def test_figure_outside_a_slot_is_a_violation(text: str, claim: str) -> None:
    """A figure or date even if it is true; a ticker if it is not the asset's."""
    assert claim in [found.text for found in check_slots(text, FACTS, symbol="AAPL").violations]


def test_filled_text_is_checked() -> None:
    """A value after the name of another fact, a wrong direction and the opposite action are violations."""
    report = check_slots("The RSI is {{adx_14}}. It rose. Sell now.", FACTS, action="buy")
    assert [claim.kind for claim in report.violations] == ["figure", "direction", "action"]
