"""A model's sentence is shown only if every word, slot and claim of it holds."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai.advisor.bars import read_bars
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import own_sentences, part_sides, summary
from supernova_ai.advisor.facts import Fact
from supernova_ai.advisor.grounding.check import Context, Part, check_sentence
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.advisor.grounding.vocabulary import vocabulary
from supernova_ai.advisor.language import language
from supernova_ai.advisor.rationale import compose
from supernova_ai.advisor.slots import FactTable, UnknownSlot
from tests.advisor.sample_advice import SAMPLE, SEED

FOUND = assess(SAMPLE, **SEED)
SCALES = {fact.id: fact.scale for fact in FOUND.facts}


def price(id_: str, value: float) -> Fact:
    return Fact(id_, value, name=id_, unit="price", source="a test", scale=SCALES.get(id_))


def count(id_: str, value: float) -> Fact:
    return Fact(id_, value, name=id_, unit="count", source="a test", scale=SCALES.get(id_))


def percent(id_: str, value: float, **more: Any) -> Fact:
    return Fact(id_, value, name=id_, unit="percent", source="a test", scale=SCALES.get(id_), **more)


TABLE = FactTable(
    [
        price("close", 110),
        price("sma_20", 108),
        price("sma_50", 100),
        price("sma_200", 112),
        price("high_20", 220),
        price("low_20", 95),
        price("bollinger_upper", 109),
        price("bollinger_lower", 98),
        price("macd", 3),
        price("macd_signal", 1),
        price("atr_14", 2.2),
        percent("atr_percent", 2),
        percent("change_20", 12, period="20 days", change_of="price"),
        percent("change_63", -4, period="63 days", change_of="price"),
        percent("change_1", 1.2, period="the last day", change_of="price"),
        count("rsi_14", 72),
        count("rsi_oversold", 30),
        count("rsi_overbought", 70),
        count("adx_14", 18),
        count("adx_trending", 25),
        count("plus_di_14", 30),
        count("minus_di_14", 15),
        percent("volatility_20", 50),
        percent("volatility_high", 45),
        percent("drawdown", 12),
        percent("max_drawdown", 30),
        percent("bollinger_width", 10.7),
        price("macd_histogram", 2),
        count("obv", 5000),
        count("obv_mean_20", 4000),
        count("confidence", 0.5),
        count("score", 0.3),
        Fact("volume_ratio", 1.5, name="volume_ratio", unit="ratio", source="a test"),
        Fact("bollinger_b", 1.09, name="bollinger_b", unit="ratio", source="a test"),
        Fact("regime", "volatile", name="market regime", source="a test"),
        Fact("symbol", "KO", name="symbol", source="a test"),
    ]
)
HERE = Path(__file__).parent
CONTEXT = Context(TABLE, "stock", {"for": 1, "against": -1, "risk": 0})

HOLD = [
    ("risk", "The {close} is above the {sma_50}."),
    ("risk", "The {close} is above its {sma_20} and its {sma_50}, and below the {sma_200}."),
    ("risk", "The {sma_20} is above the {sma_50}, and the {plus_di_14} is above the {minus_di_14}."),
    ("risk", "The price is higher than the {sma_50}, but below the {sma_200}."),
    ("risk", "The {sma_50} is under the {close}; the {sma_200} is beyond the {close}."),
    ("risk", "The {close} lies between the {sma_50} and the {sma_200}."),
    ("risk", "The {close} is slightly above the {sma_20}."),
    ("risk", "The {close} is slightly above the {sma_20} and well above the {sma_50}."),
    ("risk", "The {close} is close to the {sma_20}."),
    ("risk", "The {plus_di_14} is twice the {minus_di_14}."),
    ("risk", "The {plus_di_14} is about double the {minus_di_14}."),
    ("risk", "The {close} is half of the {high_20}."),
    ("risk", "The shorter {sma_20} is above the longer {sma_50}."),
    ("risk", "The price closed at {close}, above its {sma_50}."),
    ("risk", "The price is outside the {bollinger_upper}."),
    ("risk", "The price rose by {change_20}."),
    ("risk", "The shares have fallen {change_63}, a slow decline."),
    ("risk", "The price rose sharply: {change_20.move}."),
    ("risk", "The {rsi_14} is overbought, so a pause may follow."),
    ("risk", "The {rsi_14} is slightly above the {rsi_overbought}, so the rally looks stretched."),
    ("risk", "The {adx_14} is low, which usually shows the absence of a trend."),
    ("risk", "The {volatility_20} is high, and the {drawdown} is deep."),
    ("risk", "{regime.is}, as the {volatility_20} shows: it is volatile."),
    ("for", "The {macd} is above the {macd_signal}, which is a bullish sign."),
    ("for", "{sma_20.vs.sma_50}, which supports the decision."),
    ("for", "The {plus_di_14} against a {minus_di_14} shows an upward trend."),
    ("against", "{close.vs.bollinger_upper}, which speaks against the decision."),
    ("against", "{change_63.move}, which is a negative sign, although {sma_20.vs.sma_50}."),
    ("risk", "{note.past}"),
    # words that name facts, and words that may stand beside some facts only
    ("risk", "The MACD is above its signal line."),
    ("risk", "The close is above the upper band, which is stretched."),
    ("risk", "The price is above its averages, the {sma_20} and the {sma_50}."),
    ("risk", "The recent gain is strong: {change_20.move}."),
    ("risk", "The market is volatile: {regime.is}."),
    ("risk", "Volume is above average: {volume_ratio.is}."),
    ("risk", "The stock is {drawdown} below its peak."),
    ("risk", "The short-term trend is up: {sma_20.vs.sma_50}."),
    ("risk", "The {rsi_14} is slightly overbought."),
    ("risk", "The {drawdown} is less than half of the {max_drawdown}."),
]

REFUSED = [
    ("for", "The signs are bullish.", "names no fact"),
    ("for", "The {close} beat earnings.", '"beat" is not in the vocabulary'),
    ("for", "The {close} of Apple is high.", '"Apple" is not in the vocabulary'),
    ("for", "The {close} is above 100.", '"1" is not allowed'),
    ("for", "The {close} is above the {sma_50} today.", '"today" is not in the vocabulary'),
    ("for", "${close}", '"$" is not allowed'),
    ("for", "-{change_20}", '"-" is not allowed'),
    ("for", "{close}{sma_50}", "stands beside another fact"),
    ("for", "non{close}", '"non" is not in the vocabulary'),
    ("for", "{close} is \u00bd of {sma_50}.", "and no figures"),
    ("for", "See http://win.example about {close}.", '"/" is not allowed'),
    ("for", "<b>{close}</b>", '"<" is not allowed'),
    ("for", "The {sma_9} is high.", "there is no fact 'sma_9'"),
    ("for", "{note.past} so {close.is}.", "a note stands alone"),
    ("for", "The {close} is above " + "and above " * 60 + "the {sma_50}.", "at most 400 are read"),
    (
        "for",
        "The {sma_50} is above the {sma_20}.",
        '"above" does not hold: the sma_50 ($100.00) is 7.4 % below',
    ),
    ("for", "The {close} is below its {sma_50}, {sma_20} and {sma_200}.", '"below" does not hold'),
    ("for", "The {close} is above the {rsi_14}.", "does not compare close with rsi_14"),
    ("for", "It is above the {sma_200}.", '"above" does not hold: the close'),
    ("for", "The {rsi_14} is the {adx_14}.", "stands beside another fact"),
    ("for", "The {rsi_14}, is {adx_14}.", "stands beside another fact"),
    ("for", "The {close} is between the {sma_20} and the {sma_50}.", '"between" does not hold'),
    ("for", "The {close} is slightly above the {sma_50}.", '"slightly" does not hold'),
    ("for", "The {close} is well above the {sma_20}.", '"well" does not hold'),
    ("for", "The {close} is near the {sma_50}.", '"near" does not hold'),
    ("for", "The {close} is almost above the {sma_50}.", '"almost" is not in the vocabulary'),
    ("for", "The {close} is more than twice the {high_20}.", "does not hold"),
    ("for", "The {minus_di_14} is twice the {plus_di_14}.", "does not hold"),
    (
        "for",
        "The longer {sma_20} is above the shorter {sma_50}.",
        '"longer" does not name the fact beside it',
    ),
    ("for", "The price closed at {sma_50}.", "stands beside another fact"),
    ("for", "The price is outside the {bollinger_lower}.", '"outside" does not hold'),
    ("for", "The price fell by {change_20}.", '"fell" does not follow from a change'),
    ("for", "The price rose by {change_63}.", '"rose" does not follow'),
    ("for", "The price rose above the {sma_200}.", '"above" does not hold'),
    ("for", "The {macd} rose by {change_20}.", '"rose" does not follow'),
    ("for", "The price rose slightly by {change_20}.", '"slightly" does not hold'),
    ("for", "The {rsi_14} is neutral.", '"neutral" does not follow'),
    ("for", "The {adx_14} shows a strong trend.", '"strong" does not follow'),
    ("for", "The {sma_50} is strong.", '"strong" does not follow'),
    ("for", "The {macd} is above the {macd_signal}, a bearish sign.", '"bearish" does not follow'),
    ("for", "The {volatility_20} is low.", '"low" does not follow'),
    ("for", "The {close} is not above the {sma_200}.", '"not" is not in the vocabulary'),
    ("for", "It is not so, that {close.vs.sma_50}.", '"not" is not in the vocabulary'),
    ("for", "{close.vs.sma_50} above the {sma_20}.", "needs a fact before it"),
    ("for", "{close.vs.bollinger_upper}.", "speak for the other side"),
    ("against", "{macd.vs.macd_signal}.", "speak for the other side"),
    ("against", "{macd.vs.macd_signal}, which supports the decision.", "does not fit"),
    ("for", "{macd.vs.macd_signal}, which speaks against the decision.", "does not fit"),
    ("risk", "The {volatility_20} contradicts the decision.", "does not fit"),
    ("risk", "The price may come to {high_20}.", "to where a price moves"),
    ("risk", "The price rebounds, as {close.is}.", "write that it may happen"),
    ("risk", "The price moves from {low_20} to {high_20}.", "does not name the fact beside it"),
    ("risk", "All signs are positive: {sma_20.vs.sma_50}.", '"All" is not in the vocabulary'),
    ("risk", "Follow the {sma_50}.", "reads as an order"),
    ("risk", "It is useful to move, as {close.is}.", "reads as an order"),
    ("risk", "The coin is at {close}.", "the asset is of the class stock"),
    ("risk", "The {close} will rise.", '"will" is not in the vocabulary'),
    ("risk", "A client should add at {close}.", "not in the vocabulary"),
    ("risk", "It is certain that {close.vs.sma_50}.", '"certain" is not in the vocabulary'),
]


def listed(name: str) -> list[str]:
    """The sentences of a file beside this one."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def is_shown(sentence: str, part: Part) -> bool:
    try:
        check_sentence(sentence, part, CONTEXT)
    except Unusable:
        return False
    return True


def test_no_wrong_sentence_is_shown_in_any_section() -> None:
    """Swapped subjects, other facts' figures, forecasts, orders, invented events, wrong periods."""
    wrong = listed("wrong_sentences.txt")
    assert len(wrong) > 700
    assert [text for text in wrong for part in get_args(Part) if is_shown(text, part)] == []


def test_right_sentences_of_many_kinds_are_shown() -> None:
    """Written as a model writes them: each holds in some section."""
    right = listed("right_sentences.txt")
    assert len(right) > 40
    assert [text for text in right if not any(is_shown(text, part) for part in get_args(Part))] == []


@pytest.mark.parametrize(("part", "sentence"), HOLD)
def test_true_sentences_are_shown(part: Part, sentence: str) -> None:
    """Comparisons, directions, degrees and judgements that follow from their facts."""
    checked = check_sentence(sentence, part, CONTEXT)
    assert checked.text.endswith(".")
    assert "{" not in checked.text


@pytest.mark.parametrize(("part", "sentence", "reason"), REFUSED)
def test_other_sentences_are_refused_with_a_reason(part: Part, sentence: str, reason: str) -> None:
    """A foreign word, a figure, a wrong comparison, a promise: the reason names it."""
    with pytest.raises(Unusable, match=re.escape(reason)):
        check_sentence(sentence, part, CONTEXT)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("the price rose by {change_20}", "The price rose by 12.0 % over 20 days."),
        ("The price has fallen {change_63}.", "The price has fallen 4.0 % over 63 days."),
        ("The {change_20} is clear.", "The change_20 (+12.0 %) is clear."),
        ("It is now above its {sma_50}.", "The price is above the sma_50 ($100.00)."),
        ("The {close} has risen above its {sma_50}.", "The close ($110.00) is above the sma_50 ($100.00)."),
        (
            "The {close.vs.sma_50} , however .",
            "The close ($110.00) is 10.0 % above the sma_50 ($100.00), however.",
        ),
        ("The {symbol} price is above its {sma_50}.", "The KO price is above the sma_50 ($100.00)."),
    ],
)
def test_slots_fit_into_their_sentence(sentence: str, shown: str) -> None:
    """No sign after a verb, no article before a statement, no space before a comma, a capital first."""
    assert check_sentence(sentence, "risk", CONTEXT).text == shown


# Any output of a model: what is shown consists of our own texts, of what slots show, and of the vocabulary.

WORDS = [" ".join(words) for words in vocabulary().words]
IDS = [fact.id for fact in FOUND.facts]
SLOTS = st.one_of(
    st.sampled_from(IDS).map("{{{}}}".format),
    st.tuples(st.sampled_from(IDS), st.sampled_from(["name", "is", "move", "vs", "rise"])).map(
        lambda pair: "{{{}.{}}}".format(*pair)
    ),
    st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).map(lambda pair: "{{{}.vs.{}}}".format(*pair)),
    st.sampled_from([*language().notes]).map("{{note.{}}}".format),
)
PIECES = st.one_of(
    st.sampled_from(WORDS), SLOTS, st.text(max_size=12), st.sampled_from([",", ".", "and", "above"])
)
SENTENCES = st.lists(PIECES, max_size=14).map(" ".join)
ANSWERS = st.one_of(
    st.fixed_dictionaries(
        {name: st.lists(SENTENCES, max_size=3) for name in ("for_it", "against_it", "risk")}
    ).map(json.dumps),
    st.text(),
    st.lists(SENTENCES, max_size=8).map("\n\n## Risk\n".join),
)


def texts_of_slots(found: Assessment) -> list[str]:
    """Everything that a slot can show, longest first."""
    table = FactTable(found.facts)
    ids = list(table)
    slots = [f"{{{id_}{form}}}" for id_ in ids for form in ("", ".name", ".is", ".move")]
    slots += [f"{{{one}.vs.{two}}}" for one in ids for two in ids]
    slots += [f"{{note.{name}}}" for name in language().notes]
    shown: set[str] = set()
    for slot in slots:
        try:
            read = table.slot(slot)
        except UnknownSlot:
            continue
        shown |= {table.text(read), table.text(read, unsigned=True)}
    return sorted(shown, key=len, reverse=True)


SHOWN = texts_of_slots(FOUND)
WORD_FORMS = {word for words, read in vocabulary().words.items() if read.kind != "instead" for word in words}


def foreign(text: str) -> list[str]:
    """Return what is neither from a slot nor a word of the vocabulary."""
    for shown in SHOWN:
        text = re.sub(re.escape(shown), " ", text, flags=re.IGNORECASE)
    pieces = re.findall(r"[\w'-]+|[^\s,;:.–]", text)
    return [piece for piece in pieces if not {piece, piece.lower()} & WORD_FORMS]


@settings(max_examples=400)
@given(ANSWERS)
@example('{"for_it": ["The {change_63.move} and the {rsi_14} is high."]}')
def test_any_output_is_shown_only_as_facts_and_vocabulary(answer: str) -> None:
    """Random, adversarial or garbled output: a shown sentence has nothing of its own but plain words."""
    own = {each.text for part in get_args(Part) for each in own_sentences(FOUND, part)}
    own |= {each.text for each in summary(FOUND)}
    for each in compose(FOUND, [answer]).sentences:
        assert each.text in own or foreign(each.text) == [], each


@pytest.mark.parametrize(
    "flood",
    [
        lambda size: "{" * size,
        lambda size: "a-" * (size // 2),
        lambda size: "{close" * (size // 6),
        lambda size: '{"for_it": ["' + "above {close} " * (size // 14) + '"]}',
        lambda size: '{"for_it": [' + '"{close.is}.",' * (size // 14),
        lambda size: "## Why\n" + "{close} and " * (size // 12),
        lambda size: "not a " * (size // 6) + "\n## Risk\n",
        lambda size: "[" * size,
        lambda size: "\n" * size + "x" * size,
    ],
)
def test_sixty_thousand_characters_of_anything_take_linear_time(flood: Callable[[int], str]) -> None:
    """Twice as much takes no more than some times as long, and nothing of it is shown by mistake."""
    assert all(len(each.text) < 1000 for each in compose(FOUND, [flood(60_000)]).sentences)
    assert len(compose(FOUND, [flood(60_000)]).text) < 8000


def test_random_facts_never_have_wrong_figures_names_or_periods() -> None:
    """On random series, each slot of a random true sentence shows its own name with its own value."""
    chance = random.Random(7)
    seen = 0
    for seed in range(25):
        bars = walk(seed, 260, drift=(seed % 5 - 2) * 0.001, deviation=0.01 + 0.02 * (seed % 2))
        found = assess(read_bars(bars, now=bars[-1].time), symbol="KO", risk_score=seed * 4)
        table = FactTable(found.facts)
        context = Context(table, "stock", part_sides(found.action))
        for _ in range(400):
            first, second = chance.sample([id_ for id_ in table if table.number(id_) is not None], 2)
            word = chance.choice(
                ["above", "below", "near", "slightly above", "well below", "twice", "half of"]
            )
            try:
                text = check_sentence(f"The {{{first}}} is {word} the {{{second}}}.", "risk", context).text
            except Unusable:
                continue
            seen += 1
            one, two = table[first], table[second]
            assert (
                f"{one.name} ({table.shown(one.id)}) is {word} the {two.name} ({table.shown(two.id)})" in text
            )
            assert one.number is not None
            assert two.number is not None
            assert "above" not in word or one.number > two.number
            assert "below" not in word or one.number < two.number
    assert seen > 100
