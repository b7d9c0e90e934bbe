"""A model's words are shown if they hold, after at most one correction; else the deterministic ones."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from supernova_ai.advisor import rationale
from supernova_ai.advisor.ensemble import assess
from supernova_ai.advisor.explain import explain
from supernova_ai.advisor.rationale import Rationale, check_text, split_sections, write_rationale
from supernova_ai.config import AdviceRules
from supernova_ai.errors import NoProvider, ProviderTimeout
from supernova_ai.types import Reply, Usage
from tests.advisor.sample import GOOD, SAMPLE, SEED, SLOTTED, SLOTTED_SHOWN, WRONG

SECTIONS = ("Summary", "Why", "What speaks against it", "Risk")
RULES, SLOTS = AdviceRules(), AdviceRules(mode="slots")
FOUND = assess(SAMPLE, **SEED)

Said = str | Exception | Reply


def reply(content: str, *, finish_reason: str = "stop", cost: str = "0.01") -> Reply:
    return Reply(
        content=content,
        provider="openai",
        model="gpt",
        tier="premium",
        cost=Decimal(cost),
        cost_basis="exact",
        usage=Usage(),
        latency_s=0.1,
        first_token_s=None,
        request_id="r",
        attempts=(),
        finish_reason=finish_reason,
    )


class Model:
    """Says this, one after the other, and remembers what it was asked."""

    def __init__(self, *said: Said) -> None:
        self.said = list(said)
        self.asked: list[dict[str, Any]] = []
        self.left: list[Decimal | None] = []

    async def __call__(self, values: Mapping[str, Any], left: Decimal | None) -> Reply:
        self.asked.append(dict(values))
        self.left.append(left)
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else reply(said)


async def written(model: Model, rules: AdviceRules = RULES, **options: Any) -> Rationale:
    return await write_rationale(FOUND, model, rules=rules, sections=SECTIONS, **options)


async def test_a_refusal_is_told_and_not_corrected() -> None:
    """The deterministic rationale stands, with the model's own words for why."""
    model = Model(replace(reply(""), refusal="I can not advise."))
    said = await written(model)
    assert (said.source, said.why) == ("deterministic", "the model refused: I can not advise.")
    assert len(model.asked) == len(said.replies) == 1


async def test_what_holds_is_shown() -> None:
    """A text that follows from the facts is shown section by section, without its preamble."""
    model = Model(GOOD)
    said = await written(model, news="Sales rose.")
    assert (said.source, said.why) == ("model", "")
    assert said.text == GOOD.partition("\n\n")[2].strip()
    assert said.report.grounded
    assert said.quality.score > 0.9
    (asked,) = model.asked
    assert asked["news"] == "Sales rose."
    assert "close | Close | $136.36" in asked["facts"]
    assert (asked["action"], asked["symbol"], asked["mode"]) == ("buy", "AAPL", "verify")
    assert asked["risk_language"].startswith("For a bold client")


async def test_what_does_not_hold_is_mended_once() -> None:
    """The second request names the violation and the text it is in; its answer is shown."""
    model = Model(WRONG, GOOD)
    said = await written(model)
    assert (said.source, said.why) == ("repaired", "")
    assert "61.1 %" not in said.text
    assert model.asked[1]["draft"] == WRONG
    (violation,) = model.asked[1]["violations"]
    assert '"61.1 %"' in violation
    assert len(said.replies) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (WRONG, r'"61\.1 %"'),
        ("", "the section 'Summary' is missing or empty"),
        ("I'm sorry, but I cannot help with that.", "the section 'Summary' is missing or empty"),
        ('{"action": "hold"}', "the section 'Why' is missing or empty"),
        (GOOD.replace("## Risk", "## Prospects"), "the section 'Risk' is missing or empty"),
        (GOOD.replace("Buy AAPL.", "Sell AAPL."), "contradicts the action, which is buy"),
        (GOOD.replace("Buy AAPL.", "Buy AAPL and TSLA."), '"TSLA"'),
        (
            GOOD.replace("Buy AAPL.", "A gain is guaranteed."),
            '"guaranteed": promises are not allowed',
        ),
        (GOOD.replace("Buy AAPL.", "See https://win.example now."), "links and markup are"),
        (GOOD.replace("Buy AAPL.", "<script>x</script>"), "links and markup are"),
        (
            GOOD.replace("Buy AAPL.", "Buy AAPL, see [this](evil.example/x)."),
            "links and markup are",
        ),
        (
            GOOD.replace("Buy AAPL.", "Buy AAPL, see ftp://win.example now."),
            "links and markup are",
        ),
        (GOOD.replace("Buy AAPL.", "Buy AAPL, not https://win.example."), "links and markup are"),
        (GOOD.replace("Buy AAPL.", "Buy AAPL\u202e."), "control characters are not allowed"),
        (GOOD.replace("Buy AAPL.", "AAPL is of interest."), "'Summary' does not tell the client to buy"),
        (GOOD.replace("Buy AAPL.", "One could buy AAPL."), "'Summary' does not tell the client to buy"),
    ],
)
async def test_what_does_not_hold_twice_is_not_shown(said: str, reason: str) -> None:
    """Ungrounded, empty, refused, garbled, incomplete or forbidden: the deterministic words, and why."""
    model = Model(said, said)
    got = await written(model)
    assert (got.source, got.text) == ("deterministic", explain(FOUND))
    assert got.report.grounded
    assert len(got.replies) == 2
    assert re.search(reason, got.why), got.why
    assert got.why.endswith("after one correction")


async def test_what_is_cut_off_is_not_shown() -> None:
    """An answer that the provider ended at max_tokens is corrected like any other fault."""
    model = Model(reply(GOOD, finish_reason="length"), GOOD)
    assert (await written(model)).source == "repaired"
    assert "its quality is 0.5" in model.asked[1]["violations"][0]


@pytest.mark.parametrize(
    "promise",
    [
        "There is no doubt that gains are guaranteed.",
        "There is no risk.",
        "It is certain to rise.",
        "The price will definitely rise.",
        "It will not disappoint and is certain to rise.",
        "It will not fall because a rise is guaranteed.",
        "Nobody doubts that it is risk-free.",
        "This is not only likely but guaranteed.",
        "Nothing can stop this guaranteed gain.",
        "Do not miss this guaranteed gain.",
    ],
)
async def test_a_promise_is_none_of_ours(promise: str) -> None:
    """A denial of something else does not excuse it."""
    said = await written(Model(GOOD.replace("Buy AAPL.", f"Buy AAPL. {promise}"), "x"))
    assert said.source == "deterministic"


async def test_an_empty_answer_is_corrected_too() -> None:
    """There is no draft to show then, only the faults."""
    model = Model(" \n", GOOD)
    assert (await written(model)).source == "repaired"
    assert model.asked[1]["draft"] is None


@pytest.mark.parametrize(
    "denied",
    [
        "Nothing is guaranteed.",
        "It is not risk-free.",
        "No gain is without risk.",
        "It is not certain to rise.",
        "None of these signals guarantees a rise.",
        "Neither signal guarantees a rise.",
        "No single stock is without risk.",
        "Past performance does not by itself guarantee a gain.",
        "This is offered without any guarantee.",
        "Nothing in these facts is\nguaranteed.",
    ],
)
async def test_a_warning_is_no_promise(denied: str) -> None:
    """What is denied is not promised."""
    assert (await written(Model(GOOD.replace("Buy AAPL.", f"Buy AAPL. {denied}")))).source == "model"


async def test_lines_may_be_wrapped() -> None:
    """What a text says does not depend on where its lines end, unless a heading or a list does."""
    wrapped = GOOD.replace("Buy AAPL.", "For this client the action is to\nbuy AAPL.")
    assert (await written(Model(wrapped.replace(" so ", "\nso ")))).source == "model"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NoProvider("no key"), "NoProvider: no key"),
        (ModuleNotFoundError("No module named 'litellm'"), "LiteLLM cannot be imported: No module"),
    ],
)
async def test_without_a_model_there_is_a_rationale(error: Exception, why: str) -> None:
    """Whatever keeps the model from answering is the reason, and no error."""
    said = await written(Model(error))
    assert (said.source, said.text) == ("deterministic", explain(FOUND))
    assert said.why.startswith(why)
    assert said.requests == ()


async def test_a_correction_that_fails_counts() -> None:
    """The first answer's cost and the failed request's id stay known."""
    late = ProviderTimeout("late")
    late.request_id = "second"
    said = await written(Model(WRONG, late))
    assert said.source == "deterministic"
    assert "its correction failed: ProviderTimeout: late" in said.why
    assert said.requests == ("r", "second")


async def test_the_cap_is_on_both_requests() -> None:
    """The correction may cost what the first left, and is not asked for where nothing is left."""
    model = Model(WRONG, GOOD)
    await written(model, max_cost=Decimal("0.03"))
    assert model.left == [Decimal("0.03"), Decimal("0.02")]
    said = await written(Model(WRONG), max_cost=Decimal("0.01"))
    assert said.source == "deterministic"
    assert said.why.endswith("max_cost leaves nothing for a correction")


async def test_slots_are_filled() -> None:
    """In slots mode each figure is the fact's, as it is always shown."""
    said = await written(Model(SLOTTED), SLOTS)
    assert said.source == "model"
    assert said.text == SLOTTED_SHOWN.strip()
    assert said.written == SLOTTED


@pytest.mark.parametrize("wrong", ["16.1 %", "{{pe_ratio}}"])
async def test_a_figure_outside_of_a_slot_is_not_shown(wrong: str) -> None:
    """Even a true one; and a slot for what is no fact."""
    text = SLOTTED.replace("{{change_63}}", wrong)
    said = await written(Model(text, text), SLOTS)
    assert said.source == "deterministic"
    assert wrong in said.why


@pytest.mark.parametrize(
    "mark",
    [
        lambda name: f"## {name}",
        lambda name: f"### 1. {name.upper()}:",
        lambda name: f"**{name}**",
        lambda name: f"**{name}:**",
        lambda name: f"2) {name}:",
        lambda name: f"{name}",
        lambda name: f"# **{name}**",
    ],
)
def test_headings_are_read_however_they_are_marked(mark: Callable[[str], str]) -> None:
    """Markdown of any level, bold, numbered, in capitals, with a colon or bare on a line of its own."""
    parts = split_sections("\n".join(f"{mark(name)}\nBody of {name}.\n" for name in SECTIONS), SECTIONS)
    assert parts == {name: f"Body of {name}." for name in SECTIONS}


def test_a_heading_within_a_sentence_is_none() -> None:
    """Words of a heading in running text end no section."""
    parts = split_sections("## Risk\nRisk is high. Why it is so:\nthe summary says it. Why not", SECTIONS)
    assert list(parts) == ["Risk"]


@pytest.mark.parametrize(("bounds", "holds"), [((30, 65), True), ((30, 70), False)])
def test_overbought_is_what_the_rules_say(bounds: tuple[float, float], holds: bool) -> None:
    """With the client's own levels a model may say what the signals say; the RSI is 68.2."""
    rules = AdviceRules(rsi=RULES.rsi | {"stock": bounds})
    draft = check_text(GOOD.replace("Buy AAPL.", "Buy AAPL. The RSI is overbought."), FOUND, rules, SECTIONS)
    assert (not draft.faults) is holds


def test_a_template_without_sections_shows_the_text() -> None:
    """A user's own template may ask for plain text."""
    draft = check_text("Buy AAPL: the price rose by 16.1 % over 63 bars on strong demand.", FOUND, RULES, ())
    assert draft.faults == ()


def test_docstring_examples() -> None:
    assert doctest.testmod(rationale).failed == 0
