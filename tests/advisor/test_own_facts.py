"""A caller's own facts are checked, stand behind ours, and have slots like ours."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from supernova_ai import Fact, InvalidRequest
from supernova_ai.advisor.grounding.check import Context, check_sentence
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.own_facts import read_facts
from supernova_ai.advisor.request import read_request
from supernova_ai.advisor.slots import FactTable, UnknownSlot
from supernova_ai.config import AdviceRules
from tests.advisor.sample_advice import SAMPLE, SEED

OWN = [
    Fact("pe_ratio", 31.4, name="P/E", source="10-K 2026", as_of=date(2026, 9, 30)),
    Fact("target", 150, name="price target", source="a broker", unit="price"),
    Fact("revenue_growth", -3.2, name="growth", source="10-K", unit="percent", change_of="revenue"),
    Fact("yield_now", 4.1, name="dividend yield", source="10-K", unit="percent", scale="yield"),
    Fact("yield_then", 3.0, name="old dividend yield", source="10-K", unit="percent", scale="yield"),
    {"id": "report", "value": "2026-12-01", "name": "next report", "source": "the company"},
    {"id": "rating", "value": "two {close} notches", "name": "rating", "source": "an agency"},
]


def table(facts: Any) -> FactTable:
    return FactTable(read_request("AAPL", {**SEED, "facts": facts}).assess(SAMPLE, AdviceRules()).facts)


@pytest.mark.parametrize(
    ("slot", "shown"),
    [
        ("{pe_ratio}", "P/E (31.4)"),
        ("{pe_ratio.name}", "P/E"),
        ("{pe_ratio.is}", "the P/E is 31.4"),
        ("{close.vs.target}", "the close ($136.36) is 9.1 % below the price target ($150.00)"),
        ("{revenue_growth}", "growth (-3.2 %)"),
        ("{revenue_growth.move}", "the revenue fell by 3.2 %"),
        ("{yield_now.vs.yield_then}", "the dividend yield (4.1 %) is above the old dividend yield (3.0 %)"),
        ("{report.is}", "the next report is 1 December 2026"),
        ("{rating.is}", "the rating is “two {close} notches”"),
    ],
)
def test_own_facts_have_the_slots_of_ours(slot: str, shown: str) -> None:
    """The value, its name, a statement, a comparison of prices or of one scale, and a change."""
    facts = table(OWN)
    assert facts.text(facts.slot(slot)) == shown


def test_own_facts_stand_behind_ours() -> None:
    """They are the last facts, in the order given; what has no scale in common is not compared."""
    facts = table(OWN)
    assert list(facts)[-len(OWN) :] == [
        *("pe_ratio", "target", "revenue_growth", "yield_now", "yield_then", "report", "rating")
    ]
    with pytest.raises(UnknownSlot, match="cannot be compared"):
        facts.slot("{pe_ratio.vs.close}")


@pytest.mark.parametrize(
    ("given", "value", "shown"),
    [
        (np.float32(31.4), 31.4, "31.4"),
        (np.int64(7), 7, "7"),
        (Decimal("31.40"), 31.4, "31.4"),
        (164000.0, 164000, "164,000"),
        (1e15, 10**15, "1,000,000,000,000,000"),
        (-0.0, 0, "0"),
        ("2026-12-01", date(2026, 12, 1), "1 December 2026"),
        (
            "2026-12-01T23:30:00-05:00",
            datetime(2026, 12, 2, 4, 30, tzinfo=UTC),
            "2 December 2026, 04:30 UTC",
        ),
        ("  AA+ ", "AA+", "“AA+”"),
        ('say "buy"', "say 'buy'", "“say 'buy'”"),
    ],
)
def test_values_of_many_types_are_read(given: object, value: object, shown: str) -> None:
    """Numbers of any type keep their digits; a text in the form of a date is one, and times are in UTC."""
    (fact,) = read_facts([{"id": "x", "value": given, "name": "x", "source": "s"}])
    assert (fact.value, type(fact.value)) == (value, type(value))
    facts = FactTable([fact])
    assert facts.shown("x") == shown
    assert read_facts([fact]) == (fact,)


RIGHT = {"id": "pe_ratio", "value": 31.4, "name": "P/E", "source": "10-K"}
NAME_IS = "it must be a text of 1 to 60 characters on one line, without braces"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "P/E"}, "facts[0] has id 'P/E': it must be a small letter, then"),
        ({"id": "x" * 65}, "such as pe_ratio"),
        ({"id": "é"}, "such as pe_ratio"),
        ({"id": None}, "facts[0] has id None: it must be"),
        ({"id": "close"}, "facts[0] has id 'close', which is one of our own facts: choose another"),
        ({"id": "action"}, "one of our own facts"),
        ({"id": "cost_basis"}, "one of our own facts"),
        ({"id": "news_1"}, "one of our own facts"),
        ({"id": "note"}, "one of our own facts"),
        ({"value": None}, "fact 'pe_ratio' has no value: it needs id, value, name and source"),
        ({"source": None}, "fact 'pe_ratio' has no source"),
        ({"value": float("nan")}, "fact 'pe_ratio' has value nan: it must be a finite number"),
        ({"value": float("inf")}, "has value inf: it must be a finite number"),
        ({"value": np.float64("nan")}, "it must be a finite number"),
        ({"value": Decimal("Infinity")}, "it must be a finite number"),
        ({"value": 10**5000}, "has value a whole number of thousands of digits: it must be a finite number"),
        ({"value": 1e-300}, "it must be zero, or at least 1e-12 in size"),
        ({"value": True}, "has value True: it must be a number"),
        ({"value": np.bool_(True)}, "it must be a number"),
        ({"value": [1]}, "has value [1]: it must be a number"),
        ({"value": 1j}, "has value 1j: it must be a number"),
        ({"value": "x" * 201}, "it must be a text of 1 to 200 characters on one line"),
        ({"value": "two\nlines"}, "on one line"),
        ({"value": "a\u2028b"}, "on one line"),
        ({"value": "\x1b[2J"}, "on one line"),
        ({"value": "half \ud800"}, "on one line"),
        ({"value": "2026-13-45"}, "has value '2026-13-45': it must be a date such as 2026-11-20"),
        ({"name": "{close}"}, f"fact 'pe_ratio' has name '{{close}}': {NAME_IS}"),
        ({"name": " "}, f"has name ' ': {NAME_IS}"),
        ({"name": "x" * 61}, NAME_IS),
        ({"name": "P/E\n# Buy"}, NAME_IS),
        ({"name": 5}, f"has name 5: {NAME_IS}"),
        ({"source": ""}, "fact 'pe_ratio' has source '': it must be a text of 1 to 200 characters"),
        ({"unit": "euros"}, "has unit 'euros': it must be one of price, percent, ratio, count, number"),
        ({"unit": ["price"]}, "it must be one of price"),
        ({"value": "AA+", "unit": "price"}, "has unit 'price', and its value is no number"),
        ({"currency": "€"}, "has currency '€': it must be a code such as USD, EUR or USDT"),
        ({"decimals": 2}, "has decimals 2: it must be a whole number from 0 to 10, of a price"),
        ({"unit": "price", "decimals": True}, "has decimals True: it must be a whole number"),
        ({"unit": "price", "decimals": 11}, "has decimals 11"),
        ({"as_of": "yesterday"}, "fact 'pe_ratio' has as_of 'yesterday': it must be a date such as"),
        ({"as_of": 20261120}, "it must be a date such as"),
        ({"value": "AA+", "change_of": "rating"}, "has change_of 'rating', and its value is no number"),
        (
            {"period": "a year. Sell now"},
            "has period 'a year. Sell now': it must be a few words, without the end",
        ),
        ({"period": "a\tb"}, "fact 'pe_ratio' has period 'a\\tb': it must be a text"),
        ({"scale": 5}, "fact 'pe_ratio' has scale 5: it must be a text"),
        ({"colour": "red"}, "facts[0] has 'colour': known are id, value, name, source, unit"),
    ],
)
def test_wrong_facts_are_refused(change: dict[str, Any], message: str) -> None:
    """The error names the fact and its field, and says what is right."""
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        read_facts([RIGHT | change])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (RIGHT, "facts is {'id': 'pe_ratio'"),
        ("pe_ratio", "facts is 'pe_ratio': give a list of Fact, or of dicts of its fields"),
        (5, "facts is 5: give a list"),
        (["pe_ratio"], "facts[0] is 'pe_ratio': give a dict of id, value"),
        ([RIGHT, RIGHT], "fact 'pe_ratio' is given twice: every id must be another"),
        ([RIGHT | {"id": f"x{n}"} for n in range(51)], "51 facts are too many: give at most 50"),
    ],
)
def test_wrong_lists_of_facts_are_refused(given: Any, message: str) -> None:
    """What is no list of facts, an id twice, and too many."""
    with pytest.raises(InvalidRequest, match=re.escape(message)):
        read_facts(given)


def test_a_change_of_something_else_keeps_its_name() -> None:
    """After "fell" only a change of the price is shown as its value alone."""
    facts = table(OWN)
    assert facts.text(facts.slot("{change_20}"), unsigned=True) == "4.9 % over 20 days"
    assert facts.text(facts.slot("{revenue_growth}"), unsigned=True) == "growth (-3.2 %)"


@pytest.mark.parametrize(
    "sentence", ["The price fell {growth}.", "The {growth} fell.", "The price fell by {growth}."]
)
def test_only_the_price_may_have_risen_or_fallen(sentence: str) -> None:
    """A word such as fell stands beside changes of the price; other changes have their own statement."""
    growth = Fact("growth", -3.2, name="growth", source="10-K", unit="percent", change_of="revenue")
    context = Context(table([growth]), "stock", {"for": 1, "against": -1, "risk": 0})
    with pytest.raises(Unusable):
        check_sentence(sentence, "risk", context)
    assert check_sentence("{growth.is}.", "risk", context).text == "The revenue fell by 3.2 %."
