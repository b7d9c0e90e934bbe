"""The vocabulary is closed and reviewed: what it must not have, how it is read, and its bounds."""

from __future__ import annotations

import re

import pytest

from supernova_ai.advisor.grounding import check, evidence
from supernova_ai.advisor.grounding.vocabulary import Token, parse, vocabulary
from supernova_ai.advisor.slots import FactTable
from tests.advisor.test_sentences import TABLE, percent, price

ENGLISH = vocabulary()
SHOWN = {words: token for words, token in ENGLISH.words.items() if token.kind != "instead"}
SINGLE = {words[0] for words in SHOWN if len(words) == 1}
ALL = {word for words in ENGLISH.words for word in words}

FORBIDDEN = {
    "number words": """
        one two three four five six seven eight nine ten eleven twelve dozen hundred thousand first second
        once
        thrice million billion percent
    """,
    "times": """
        today now recently yesterday tomorrow soon later day days week weeks month year quarterly
        session sessions hour minute currently next previous ago since
    """,
    "names and events": """
        company companies earnings revenue ceo analyst analysts investors bank fed ecb war merger split
        dividend yield buyback news report index apple google bitcoin euro dollar dollars markets stocks coins
    """,
    "actions": """
        buy sell hold reduce avoid add purchase trade invest enter exit wait keep take client clients reader
        short long stop order
    """,
    "promises": """
        will shall should must certain certainly sure surely guaranteed guarantee guarantees inevitable
        definitely always safe riskless target targets profit profits return returns
        likely probable expect expected risk danger
    """,
    "negations, and facts that are not named": """
        not no never nothing hardly unlike all other others another most many every
    """,
    "equality and crossing": """
        equal equals same crossed crosses crossing reaches reached hits matches
    """,
}


def test_the_list_has_more_than_a_thousand_reviewed_forms() -> None:
    """None has a digit or a currency sign; only names have capitals."""
    assert 1000 <= len(ENGLISH.words) <= 2500
    assert all(re.fullmatch(r"[a-z]+(?:['-][a-z]+)*", word.lower()) for word in ALL)
    assert {word for word in ALL if word != word.lower()} == {"MACD", "RSI", "ADX", "Bollinger"}


def test_words_that_take_the_place_of_others_are_listed() -> None:
    """What is shown for "has slipped below", and for "it", is in the vocabulary too."""
    for words, token in ENGLISH.words.items():
        if token.kind in ("instead", "pronoun"):
            assert all(shown.kind for shown in ENGLISH.read(token.marks)), words


def test_each_judgement_has_bounds() -> None:
    """Each judgement of the vocabulary, for facts that exist; and each class that claims has its check."""
    judged = {token.marks[0] for token in SHOWN.values() if token.kind == "judgement"}
    bounds = evidence.load_bounds()
    assert judged - {"stretched"} == set(bounds) - {"up-if-above"} | {"up", "down"}
    plain = {*("article", "boundary", "joiner", "pronoun", "plain", "modal")}
    assert {token.kind for token in SHOWN.values()} - plain == set(check.CHECKS) - {"slot"}


def test_a_bound_without_its_fact_does_not_hold() -> None:
    """The table has no ema_12: nothing is above or below it."""
    assert not evidence.judgement_holds("above-all-averages", TABLE, ["close"])
    assert not evidence.judgement_holds("below-all-averages", TABLE, ["close"])


@pytest.mark.parametrize(
    ("word", "holds"),
    [
        ("twice", [1.75, 1.99, 2, 2.01, 2.25]),
        ("nearly twice", [1.75, 1.99]),
        ("more than twice", [2.01, 2.25, 9]),
        ("half", [0.45, 0.5, 0.55]),
        ("almost half", [0.45]),
        ("nearly a third", [0.3]),
    ],
)
def test_a_ratio_has_a_bound_on_both_sides(word: str, holds: list[float]) -> None:
    """What is nearly twice as much is not more than twice."""
    kind = ENGLISH.words[tuple(word.split())].marks[0]
    whole = price("close", 100)
    ratios = [0.3, 0.4, 0.45, 0.5, 0.55, 1.5, 1.75, 1.99, 2, 2.01, 2.25, 9]
    found = [
        ratio for ratio in ratios if evidence.ratio_is(kind, price("sma_20", 100 * ratio), whole, gap=False)
    ]
    assert found == holds


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("nearly-half-above-average", {"volume_ratio": 1.5}),
        ("nearly-quarter-below-peak", {"drawdown": 25.2}),
        ("nearly-third-below-peak", {"drawdown": 34}),
        ("nearly-half-below-peak", {"drawdown": 51}),
        ("near-zero", {"rsi_14": 50}),
    ],
)
def test_what_is_nearly_so_does_not_hold_for_more(kind: str, value: dict[str, float]) -> None:
    """A volume of 1.5 times its average is not nearly half above it; an RSI of 50 is not near zero."""
    table = FactTable([percent(id_, number) for id_, number in value.items()])
    assert not evidence.judgement_holds(kind, table, list(value))


@pytest.mark.parametrize("topic", FORBIDDEN)
def test_words_that_no_sentence_may_have(topic: str) -> None:
    """Only slots have figures, names and periods, and only we recommend."""
    assert set(FORBIDDEN[topic].split()) & SINGLE == set()


def test_phrases_come_before_their_words() -> None:
    """The longest phrase at a word is read, and an unknown word has no class."""
    words = parse("[plain]\nfar well\n[relation above]\nabove\n[relation far]\nfar_from\n# a comment\n")
    assert list(words.read(["far", "from", "far", "above", "earnings"])) == [
        Token("far from", "relation", ("far",)),
        Token("far", "plain"),
        Token("above", "relation", ("above",)),
        Token("earnings", ""),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[plain]\nfar far", "lists 'far' twice"), ("far", "lists 'far' twice, or without a class")],
)
def test_a_list_with_a_mistake_is_refused(text: str, reason: str) -> None:
    """A word has exactly one class."""
    with pytest.raises(ValueError, match=reason):
        parse(text)
