"""A model's sentences are shown where they hold, after at most one correction; else ours are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

import pytest

from supernova_ai.advisor.ensemble import Action, assess
from supernova_ai.advisor.rationale import Rationale, compose, write_rationale
from supernova_ai.errors import InvalidAnswer, NoProvider, ProviderTimeout
from supernova_ai.types import Reply, Usage
from tests.advisor.sample_advice import (
    FALSE,
    GOOD,
    RANGE,
    RANGE_SHOWN,
    RISING,
    RISING_SHOWN,
    SAMPLE,
    SEED,
    VOLUME,
    VOLUME_SHOWN,
    WRONG,
    answer,
    own_text,
)
from tests.advisor.test_explain import made

FOUND = assess(SAMPLE, **SEED)

Answer = str | Exception | Reply[Any]


def reply(content: str, *, finish_reason: str = "stop", cost: str = "0.01") -> Reply[Any]:
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

    async def __call__(self, values: Mapping[str, Any], left: Decimal | None) -> Reply[Any]:
        self.asked.append(dict(values))
        self.left.append(left)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else reply(answer)


async def written(model: Model, **options: Any) -> Rationale:
    return await write_rationale(FOUND, model, **options)


def shown(rationale: Rationale) -> list[tuple[str, str, str]]:
    """The section, text and source of each sentence that is not in our summary."""
    return [
        (each.section, each.text, each.source) for each in rationale.sentences if each.section != "summary"
    ]


async def test_sentences_without_faults_are_shown() -> None:
    """The summary is ours, the sentences are the model's, and each has its facts."""
    model = Model(GOOD)
    got = await written(model, news="Sales rose.")
    assert (got.source, got.why) == ("model", "")
    assert shown(got) == [
        ("for", RISING_SHOWN, "model"),
        ("against", VOLUME_SHOWN, "model"),
        ("risk", RANGE_SHOWN, "model"),
    ]
    assert got.sentences[5].facts == ("change_63", "sma_20", "sma_50")
    assert got.text.startswith("## Summary\n\nAs of 20 November 2026: buy AAPL.")
    assert f"## What speaks for it\n\n{RISING_SHOWN}\n\n## What speaks against it" in got.text
    assert got.written == (GOOD,)
    assert got.quality.score > 0.8
    (asked,) = model.asked
    assert (asked["action"], asked["symbol"], asked["news"]) == ("buy", "AAPL", "Sales rose.")
    assert "close | close | $136.36" in asked["facts"]
    assert "action |" not in asked["facts"]
    assert asked["for_it"][0] == "{change_63.move}: the price rose by 16.1 % over 63 days"
    assert "violations" not in asked


async def test_only_faulty_sentences_are_corrected() -> None:
    """The second request names the sentence and its fault; the other sentences stay."""
    model = Model(WRONG, answer(["The {sma_20} is above the {sma_50}."], [], []))
    got = await written(model)
    assert (got.source, got.why) == ("corrected", "")
    assert [source for *_, source in shown(got)] == ["model", "corrected", "model", "model"]
    assert shown(got)[1][1] == "The 20-day average ($132.28) is above the 50-day average ($127.99)."
    (violation,) = model.asked[1]["violations"]
    assert violation.startswith(f'for: "{FALSE}" – "below" does not hold: the 20-day average')
    assert got.requests == ("r", "r")


async def test_what_still_fails_has_our_sentence_about_its_facts() -> None:
    """The signal with the facts, in our words; ``why`` has the sentence and its fault."""
    got = await written(Model(WRONG, WRONG.replace(RISING, FALSE)))
    assert shown(got)[:2] == [
        ("for", RISING_SHOWN, "model"),
        ("for", "The 20-day average ($132.28) is 3.4 % above the 50-day average ($127.99).", "generated"),
    ]
    assert got.why.startswith(f'sentences of the model were not shown: "{FALSE}": "below" does not hold')
    assert got.source == "model"


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("The {volatility_20} is enormous.", "The annualised volatility is 18.4 %."),
        (
            "The price will fall by {max_drawdown}.",
            "At the worst time, the close was 9.4 % below",
        ),
        ("Sales beat all forecasts.", None),
        ("The {pe_ratio} is high.", None),
    ],
)
async def test_a_sentence_is_replaced_or_left_out(sentence: str, text: str | None) -> None:
    """Without a fact there is nothing to say in its place."""
    given = answer([RISING], [VOLUME], [RANGE, sentence])
    found = [text for section, text, _ in shown(await written(Model(given, given))) if section == "risk"]
    assert found[0] == RANGE_SHOWN
    assert len(found) == (1 if text is None else 2)
    assert text is None or found[1].startswith(text)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "I'm sorry, but I cannot help with that.",
        '{"action": "hold"}',
        "%%% garbage \ufffd 42 {{",
        "{" * 60_000,
    ],
)
async def test_an_answer_without_sentences_is_replaced(said: str) -> None:
    """The rationale is our own, and ``why`` says so."""
    got = await written(Model(said))
    assert (got.source, got.text) == ("generated", own_text(FOUND))
    assert "the answer has no sentences in the sections" in got.why


async def test_refusal_is_not_corrected() -> None:
    """The rationale is our own, and ``why`` quotes the refusal."""
    model = Model(replace(reply(""), refusal="I can not advise."))
    got = await written(model)
    assert (got.source, got.why) == ("generated", "the model refused: I can not advise.")
    assert len(model.asked) == len(got.replies) == 1


async def test_an_answer_without_the_schema_is_read_as_it_is() -> None:
    """Its two attempts were made; what holds in its prose is shown."""
    error = InvalidAnswer(
        "no JSON", provider="p", model="m", text=f"## Why\n{RISING}\n## Risk\nIt will rise."
    )
    error.request_id = "first"
    model = Model(error)
    got = await written(model)
    assert got.source == "model"
    assert got.why.startswith("InvalidAnswer: p failed (m)")
    assert ("for", RISING_SHOWN, "model") in shown(got)
    assert (len(model.asked), got.requests) == (1, ("first",))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (NoProvider("no key"), "NoProvider: no key"),
        (ModuleNotFoundError("No module named 'litellm'"), "LiteLLM cannot be imported: No module"),
    ],
)
async def test_error_of_the_request_is_the_reason(error: Exception, why: str) -> None:
    """An error of the request is not raised: the rationale is our own, and ``why`` has it."""
    got = await written(Model(error))
    assert (got.source, got.text) == ("generated", own_text(FOUND))
    assert got.why.startswith(why)
    assert got.requests == ()


async def test_failed_correction_is_counted() -> None:
    """The good sentences are shown all the same; the rationale has the id of the failed request."""
    late = ProviderTimeout("late")
    late.request_id = "second"
    got = await written(Model(WRONG, late))
    assert got.source == "model"
    assert got.why.startswith("the correction failed: ProviderTimeout: late; sentences of the model were not")
    assert got.requests == ("r", "second")


async def test_max_cost_covers_both_requests() -> None:
    """The correction may cost what the first request left; if nothing is left, it is not made."""
    model = Model(WRONG, GOOD)
    await written(model, max_cost=Decimal("0.03"))
    assert model.left == [Decimal("0.03"), Decimal("0.02")]
    got = await written(Model(WRONG), max_cost=Decimal("0.01"))
    assert got.source == "model"
    assert got.why.startswith("max_cost leaves nothing for a correction")


def test_the_number_of_shown_sentences_is_bounded() -> None:
    """At most four of a section, and none twice."""
    ids = ("close", "sma_20", "sma_50", "sma_200", "ema_12", "ema_26")
    risk = [f"{{{id_}.is}}." for id_ in ids]
    got = compose(FOUND, [answer([RISING, RISING], [VOLUME], risk)])
    assert [section for section, *_ in shown(got)] == ["for", "against", *["risk"] * 4]


@pytest.mark.parametrize("action", get_args(Action))
def test_the_model_cannot_recommend_anything(action: Action) -> None:
    """For each action, sentences with another recommendation or the wrong side are not shown."""
    found = made(action)
    up, down = "{plus_di_14} is above the {minus_di_14}", "{plus_di_14} is below the {minus_di_14}"
    wrong = [
        "Buy at {close}.",
        "Sell at {close}.",
        "It is better to wait, as {close.is}.",
        f"The {up}.",
        f"The {down}.",
    ]
    got = compose(found, [answer(wrong, wrong, wrong)])
    assert not any(word in text for _, text, _ in shown(got) for word in ("Buy", "Sell", "wait"))
    sides = [(section, text) for section, text, _ in shown(got) if "DI" in text and section != "risk"]
    assert len({section for section, _ in sides}) <= 1 or action in ("hold", "avoid")
