"""A model's German sentence is shown only if it holds, in whatever order its words stand."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernova_ai.advisor.ensemble import assess
from supernova_ai.advisor.facts import Fact, Unit, compare
from supernova_ai.advisor.grounding.check import Context, Part, check_sentence
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.grounding.vocabulary import vocabulary
from supernova_ai.advisor.language import language
from supernova_ai.advisor.rationale import compose
from supernova_ai.advisor.slots import FactTable
from supernova_ai.config.advice import LanguageCode
from tests.advisor.sample_advice import SAMPLE, SEED, answer

CODES: tuple[LanguageCode, ...] = ("de", "en")
GERMAN = language("de")
SCALES = {"macd": "macd", "rsi": "rsi", "adx": "adx", "plus": "di", "minus": "di", "vola": "volatility"}


def fact(id_: str, value: float | str, unit: Unit = "number", **more: Any) -> Fact:
    scale = SCALES.get(id_[:4].rstrip("_"))
    return GERMAN.fact(id_, value, unit, bar="day", scale=scale, **more)


def change(days: int, value: float) -> Fact:
    return fact(f"change_{days}", value, "percent", change_of="price", period=f"{days} Tage")


PRICES = {
    "close": 110,
    "sma_20": 108,
    "sma_50": 100,
    "sma_200": 112,
    "high_20": 120,
    "low_20": 95,
    "bollinger_upper": 109,
    "bollinger_lower": 98,
}
TABLE = FactTable(
    [
        fact("symbol", "KO"),
        fact("period", "day"),
        *(fact(id_, value, "price") for id_, value in PRICES.items()),
        fact("macd", 3, "price"),
        fact("macd_signal", 1, "price"),
        fact("atr_14", 2.2, "price"),
        fact("atr_percent", 2, "percent"),
        change(20, 12),
        change(63, -4),
        fact("rsi_14", 72, "count"),
        fact("rsi_oversold", 30, "count"),
        fact("rsi_overbought", 70, "count"),
        fact("adx_14", 18, "count"),
        fact("adx_trending", 25, "count"),
        fact("plus_di_14", 30, "count"),
        fact("minus_di_14", 15, "count"),
        fact("volatility_20", 50, "percent"),
        fact("volatility_high", 45, "percent"),
        fact("drawdown", 12, "percent"),
        fact("regime", "volatile"),
    ],
    GERMAN,
)
CONTEXT = Context(TABLE, "stock", {"for": 1, "against": -1, "risk": 0}, language="de")


def shown(sentence: str, part: Part = "risk") -> str | None:
    """Return the sentence as it is shown; None: it is refused."""
    try:
        return check_sentence(sentence, part, CONTEXT).text
    except Unusable:
        return None


def listed(name: str) -> list[tuple[Part, str]]:
    """Return the section and the sentence of each line of a file beside this one."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    found = (line.partition(" ") for line in lines if line and not line.startswith("#"))
    parts: dict[str, Part] = {part: part for part in get_args(Part)}
    return [(parts[part], sentence) for part, _, sentence in found]


@pytest.mark.parametrize(("part", "sentence"), listed("wrong_sentences_de.txt"))
def test_wrong_sentences_are_refused(part: Part, sentence: str) -> None:
    """Swapped, negated, turned round, forecast, promised, invented or recommended."""
    assert shown(sentence, part) is None


def test_most_right_sentences_are_shown() -> None:
    """At least 85 %, each without a slot."""
    right = listed("right_sentences_de.txt")
    texts = [shown(sentence, part) for part, sentence in right]
    assert sum(text is not None for text in texts) >= 0.85 * len(right) > 120
    assert not any(text and ("{" in text or not text.endswith(".")) for text in texts)


ORDERS = {
    "{a} liegt über {B}.": "ab",
    "{a} liegt unter {B}.": "ba",
    "Über {B} liegt {a}.": "ab",
    "Unter {B} liegt {a}.": "ba",
    "{c} ist wichtig, und über {B} liegt {a}.": "ab",
    "{c} ist wichtig, unter {B} liegt {a}.": "ba",
    "{c} ist wichtig und unter {B} liegt, wie üblich, {a}.": "ba",
    "{b} ist wichtig, liegt doch {a} unter {B}.": "ba",
    "Weil {a} über {B} liegt, ist das Bild gemischt.": "ab",
    "Weil unter {B} {a} liegt, ist das Bild gemischt.": "ba",
    "Weil {a} über {B} und {C} liegt, ist das Bild gemischt.": "ab ac",
    "Weil {a} über {B} und {C} liegt als Zeichen, ist das Bild gemischt.": "ab ac",
    "Weil {a} unter {B}, {C} und dem Kurs liegt, ist das Bild gemischt.": "ba ca ka",
    "Da {a} und {c} unter {B} liegen, ist das Bild gemischt.": "ba bc",
    "Da {a} unter {B} und {c} unter {A} liegt, ist das Bild gemischt.": "ba ac",
    "Da {a} unter {B} und unter {A} {c} liegt, ist das Bild gemischt.": "ba ac",
    "Obwohl {a} über {B} liegt, liegt er unter {C}.": "ab ck",
    "{a} und {c} liegen unter {B}.": "ba bc",
    "Sowohl {a} als auch {c} liegen unter {B}.": "ba bc",
    "{a}, {b} und der Kurs liegen unter {C}.": "ca cb ck",
    "{a} liegt unter {B}, aber über {C}.": "ba ac",
    "{a} liegt unter {B} und {c} über {A}.": "ba ca",
    "{a} liegt unter {B}, über {A} {c}.": "ba ca",
    "{a}, {who} über {B} liegt, ist wichtig.": "ab",
    "{b}, über {whom} {a} liegt, ist wichtig.": "ab",
    "{b}, über {whom} {bare} liegt, ist wichtig.": "ab",
    "{bare} liegt unter {B} und {C} als Zeichen.": "ba ca",
}
"""Sentences about three prices in all orders. "ab" says that a is above b; k is the close, "der Kurs"."""


@pytest.mark.parametrize("order", ORDERS)
def test_no_order_of_words_turns_a_comparison_round(order: str) -> None:
    """Of all prices in its places, the sentence is shown only with those for which it is true."""
    for ids in permutations(PRICES, 3):
        names = dict(zip("abc", ids, strict=True))
        subject, object_ = (
            {name: f"{GERMAN.forms(TABLE[id_])[case]} {{{id_}}}" for name, id_ in names.items()}
            for case in (0, 1)
        )
        sentence = order.format_map(
            subject
            | {name.upper(): text for name, text in object_.items()}
            | {"who": subject["a"][:3], "whom": object_["b"][:3], "bare": f"{{{names['a']}}}"}
        )
        if shown(sentence) is not None:
            names["k"] = "close"
            claims = [[TABLE[names[name]] for name in claim] for claim in ORDERS[order].split()]
            assert all(compare(above, below) == 1 for above, below in claims), sentence


def test_the_usual_orders_are_shown() -> None:
    """The test above is not empty: a true sentence with its subject first is shown."""
    assert shown("Der {close} liegt über dem {sma_50}.")
    assert shown("Weil der {close} über dem {sma_50} und der {bollinger_upper} liegt, ist das Bild gemischt.")
    assert shown("Der {close}, der über dem {sma_50} liegt, ist wichtig.")


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        (
            "Die {volatility_20} liegt über der {volatility_high}.",
            "Die annualisierte Volatilität (50,0 %) liegt über der "
            "Schwelle für eine hohe Volatilität (45,0 %).",
        ),
        (
            "Die {volatility_high} liegt unter der {volatility_20}.",
            "Die Schwelle für eine hohe Volatilität (45,0 %) liegt "
            "unter der annualisierten Volatilität (50,0 %).",
        ),
        ("Der Kurs ist um {change_20} gestiegen.", "Der Kurs ist um 12,0 % über 20 Tage gestiegen."),
        ("Der Kurs fiel um {change_63}.", "Der Kurs fiel um 4,0 % über 63 Tage."),
        (
            "Der {macd} liegt über seiner {macd_signal}.",
            "Der MACD (3,00 $) liegt über der Signallinie des MACD (1,00 $).",
        ),
        (
            "{change_20.move}, und der {rsi_14} ist überkauft.",
            "Der Kurs stieg über 20 Tage um 12,0 %, und der 14-Tage-RSI (72) ist überkauft.",
        ),
    ],
)
def test_slots_fit_into_german_sentences(sentence: str, text: str) -> None:
    """The name is in the case of its article, and a change has no sign beside its verb."""
    assert shown(sentence) == text


def test_a_rationale_shows_german_sentences() -> None:
    """Those of a model that hold, and our own in place of one that does not."""
    found = assess(SAMPLE, **SEED, language="de")
    risen = "{change_63.move}, was für die Entscheidung spricht."
    shown = compose(
        found, [answer([risen], ["Über {close} liegt {sma_50}."], ["{atr_14.is}; das ist üblich."])]
    )
    assert [(each.text, each.source) for each in shown.sentences if each.section != "summary"] == [
        ("Der Kurs stieg über 63 Tage um 16,1 %, was für die Entscheidung spricht.", "model"),
        ("Das On-Balance-Volumen liegt unter seinem 20-Tage-Durchschnitt.", "generated"),
        (
            "An einem gewöhnlichen Tag bewegt sich der Kurs um 1,92 $, das sind 1,4 % des Schlusskurses; "
            "das ist üblich.",
            "model",
        ),
    ]


WORDS = [" ".join(words) for words in vocabulary("de").words]
SLOTS = [f"{{{id_}{form}}}" for id_ in TABLE for form in ("", ".name", ".is")]


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*WORDS, *SLOTS, ",", ";"]), max_size=14))
def test_what_is_shown_has_no_foreign_word(pieces: list[str]) -> None:
    """Words in any order: what is shown begins with a capital, ends with a full stop and has no slot."""
    text = shown(" ".join(pieces))
    assert text is None or (text[0] == text[0].upper() and text.endswith(".") and "{" not in text)


def test_the_classes_of_words_are_known() -> None:
    """Each class and each judgement is one of the English list, so it has its check and its bounds."""
    german, english = (
        {(word.kind, word.marks[:1]) for word in vocabulary(code).words.values()} for code in CODES
    )
    judged = {pair for pair in german if pair[0] in ("relation", "move", "degree", "judgement", "stance")}
    assert judged <= english
    assert {kind for kind, _ in german} <= {kind for kind, _ in english}


def test_words_that_take_the_place_of_others_are_listed() -> None:
    """What is shown for "nahe am", and for "er", is in the vocabulary too."""
    words = vocabulary("de")
    replaced = [token for token in words.words.values() if token.kind in ("instead", "pronoun")]
    assert replaced
    assert all(shown.kind for token in replaced for shown in words.read(token.marks))


@pytest.mark.parametrize(
    "words",
    [
        "wird werden würde soll sollte muss will darf dürfte wäre hätte",
        "nicht kein keine keinen nie niemals niemand nichts kaum ohne weder unwahrscheinlich",
        "kaufen verkaufen halten zukaufen einsteigen aussteigen abwarten empfehlen ratsam lohnt sollte",
        "sicher garantiert unvermeidlich bestimmt wahrscheinlich Gewinn Rendite Ziel Kursziel",
        "heute gestern morgen bald jetzt Tag Tage Woche Monat Jahr Stunde seit",
        "ein-mal eins zwei drei zehn hundert Prozent Euro Dollar Drittel Hälfte",
        "Unternehmen Quartalszahlen Analysten Zinsen Notenbank Übernahme Vorstand Dividende Nachrichten",
        "übertrifft übersteigt überragt unterschreitet überschreitet höher tiefer erreicht durchbricht",
    ],
)
def test_words_that_no_german_sentence_may_have(words: str) -> None:
    """Forecasts, negations, actions, promises, times, numbers, events, and verbs that compare."""
    single = {phrase[0] for phrase in vocabulary("de").words if len(phrase) == 1}
    assert not single & set(words.split())
