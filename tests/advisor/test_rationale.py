"""A model's text is shown if it passes every check, after at most one correction; else our own."""

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
from tests.advisor.sample_advice import GOOD, SAMPLE, SEED, SLOTTED, SLOTTED_SHOWN, WRONG

SECTIONS = ("Summary", "Why", "What speaks against it", "Risk")
RULES, SLOTS = AdviceRules(), AdviceRules(mode="slots")
FOUND = assess(SAMPLE, **SEED)

Answer = str | Exception | Reply


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
    """A model that gives these answers in order, and records its prompts."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.left: list[Decimal | None] = []

    async def __call__(self, values: Mapping[str, Any], left: Decimal | None) -> Reply:
        self.asked.append(dict(values))
        self.left.append(left)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else reply(answer)


async def written(model: Model, rules: AdviceRules = RULES, **options: Any) -> Rationale:
    return await write_rationale(FOUND, model, rules=rules, sections=SECTIONS, **options)


async def test_refusal_is_not_corrected() -> None:
    """The rationale is the deterministic one, and ``why`` quotes the refusal."""
    model = Model(replace(reply(""), refusal="I can not advise."))
    said = await written(model)
    assert (said.source, said.why) == ("deterministic", "the model refused: I can not advise.")
    assert len(model.asked) == len(said.replies) == 1


async def test_text_without_faults_is_shown() -> None:
    """A text without faults is shown, without its preamble."""
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


async def test_text_with_a_fault_is_corrected_once() -> None:
    """The second request has the text and its violation; its answer is shown."""
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
async def test_second_text_with_faults_is_not_shown(said: str, reason: str) -> None:
    """Ungrounded, empty, refusing, garbled or forbidden text: our own is shown, with the reason."""
    model = Model(said, said)
    got = await written(model)
    assert (got.source, got.text) == ("deterministic", explain(FOUND))
    assert got.report.grounded
    assert len(got.replies) == 2
    assert re.search(reason, got.why), got.why
    assert got.why.endswith("after one correction")


async def test_text_that_is_cut_off_is_corrected() -> None:
    """An answer that ended at max_tokens is corrected like any other fault."""
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
async def test_promise_is_not_shown(promise: str) -> None:
    """A promise is found also next to a denial of something else."""
    said = await written(Model(GOOD.replace("Buy AAPL.", f"Buy AAPL. {promise}"), "x"))
    assert said.source == "deterministic"


async def test_an_empty_answer_is_corrected_too() -> None:
    """The second request then has only the faults, and no draft."""
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
async def test_denied_promise_is_allowed(denied: str) -> None:
    """A text may say that nothing is guaranteed."""
    assert (await written(Model(GOOD.replace("Buy AAPL.", f"Buy AAPL. {denied}")))).source == "model"


async def test_lines_may_be_wrapped() -> None:
    """The checks do not depend on line breaks within a paragraph."""
    wrapped = GOOD.replace("Buy AAPL.", "For this client the action is to\nbuy AAPL.")
    assert (await written(Model(wrapped.replace(" so ", "\nso ")))).source == "model"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NoProvider("no key"), "NoProvider: no key"),
        (ModuleNotFoundError("No module named 'litellm'"), "LiteLLM cannot be imported: No module"),
    ],
)
async def test_error_of_the_request_is_the_reason(error: Exception, why: str) -> None:
    """An error of the request is not raised: the rationale is the deterministic one, and ``why`` has it."""
    said = await written(Model(error))
    assert (said.source, said.text) == ("deterministic", explain(FOUND))
    assert said.why.startswith(why)
    assert said.requests == ()


async def test_failed_correction_is_counted() -> None:
    """The rationale has the first answer and the id of the failed request."""
    late = ProviderTimeout("late")
    late.request_id = "second"
    said = await written(Model(WRONG, late))
    assert said.source == "deterministic"
    assert "its correction failed: ProviderTimeout: late" in said.why
    assert said.requests == ("r", "second")


async def test_max_cost_covers_both_requests() -> None:
    """The correction may cost what the first request left; if nothing is left, it is not made."""
    model = Model(WRONG, GOOD)
    await written(model, max_cost=Decimal("0.03"))
    assert model.left == [Decimal("0.03"), Decimal("0.02")]
    said = await written(Model(WRONG), max_cost=Decimal("0.01"))
    assert said.source == "deterministic"
    assert said.why.endswith("max_cost leaves nothing for a correction")


async def test_slots_are_filled() -> None:
    """In slots mode each figure is the exact value of its fact."""
    said = await written(Model(SLOTTED), SLOTS)
    assert said.source == "model"
    assert said.text == SLOTTED_SHOWN.strip()
    assert said.written == SLOTTED


@pytest.mark.parametrize("wrong", ["16.1 %", "{{pe_ratio}}"])
async def test_a_figure_outside_of_a_slot_is_not_shown(wrong: str) -> None:
    """Not even a true one; nor a slot that names no fact."""
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


def test_heading_words_within_a_sentence_are_text() -> None:
    """The words of a heading in running text do not start a section."""
    parts = split_sections("## Risk\nRisk is high. Why it is so:\nthe summary says it. Why not", SECTIONS)
    assert list(parts) == ["Risk"]


@pytest.mark.parametrize(("bounds", "holds"), [((30, 65), True), ((30, 70), False)])
def test_rules_define_overbought(bounds: tuple[float, float], holds: bool) -> None:
    """With a client's own levels a model may say the same as the signals; the RSI is 68.2."""
    rules = AdviceRules(rsi=RULES.rsi | {"stock": bounds})
    draft = check_text(GOOD.replace("Buy AAPL.", "Buy AAPL. The RSI is overbought."), FOUND, rules, SECTIONS)
    assert (not draft.faults) is holds


def test_text_of_a_template_without_sections_is_shown() -> None:
    """A user's own template may ask for plain text."""
    draft = check_text("Buy AAPL: the price rose by 16.1 % over 63 bars on strong demand.", FOUND, RULES, ())
    assert draft.faults == ()


def test_docstring_examples() -> None:
    assert doctest.testmod(rationale).failed == 0
