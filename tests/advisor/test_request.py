"""What a caller gives beside the bars adds facts, and only the horizon changes what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai import Fact, NewsItem, Supernova, aadvise
from supernova_ai.advisor import records
from supernova_ai.advisor.explain import fact_table, risk_notes
from supernova_ai.advisor.rationale import compose
from supernova_ai.advisor.replay import replay
from supernova_ai.advisor.request import read_request
from supernova_ai.config import AdviceRules, Config
from tests import clients
from tests.advisor.sample_advice import SAMPLE, SEED, answer

RULES = AdviceRules()

_numbers = st.one_of(
    st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9).filter(lambda x: not 0 < abs(x) < 1e-9)
)
_lines = st.text(
    st.one_of(st.sampled_from("{}[]()*_`<>#|\"'“”.,:;/\\-+ 0123456789%$€"), st.characters(categories=["L"])),
    min_size=1,
    max_size=60,
).filter(lambda text: bool(text.strip()))
_names = _lines.filter(lambda text: not re.search("[{}]", text))
_words = _lines.filter(lambda text: not re.search(r"[.!?;:](\s|$)", text))
_past = st.dates(date(2000, 1, 1), date(2026, 11, 20))
_optional = partial(st.fixed_dictionaries, {})


@st.composite
def _facts(draw: st.DrawFn) -> list[dict[str, Any]]:
    facts = []
    for number in range(draw(st.integers(0, 3))):
        value = draw(st.one_of(_numbers, st.dates(), _lines))
        fact = {"id": f"own_{number}", "value": value, "name": draw(_names), "source": draw(_lines)}
        if isinstance(value, int | float):
            units = st.sampled_from(["price", "percent", "ratio", "count", "number"])
            more = {"unit": units, "change_of": st.sampled_from(["price", "revenue"]), "scale": _words}
            fact |= draw(_optional(optional=more))
        facts.append(fact)
    return facts


_news = st.lists(st.fixed_dictionaries({"headline": _lines, "source": _names, "date": _past}), max_size=3)
_position = st.one_of(
    st.none(),
    _optional(
        optional={
            "quantity": st.floats(0.001, 1e9),
            "cost_basis": st.floats(0.01, 1e5),
            "weight": st.floats(0, 1),
            "opened": _past,
            "horizon": st.sampled_from(["short", "medium", "long"]),
        }
    ),
    st.just({"quantity": 0}),
)
_given = st.fixed_dictionaries(
    {
        "facts": _facts(),
        "news": _news,
        "position": _position,
        "risk_per_trade": st.one_of(st.none(), st.floats(0.01, 1e9)),
    }
)


def figures(text: str) -> set[str]:
    """Return the runs of digits in a text, with the marks between them."""
    return set(re.findall(r"\d(?:[\d.,]*\d)?", text))


@given(_given)
def test_nothing_given_changes_action_or_figures(more: dict[str, Any]) -> None:
    """Action and confidence are those without it, but for the horizon; each new figure is a new fact's."""
    request = read_request("AAPL", {**SEED, **more})
    found = request.assess(SAMPLE, RULES)
    horizon = {"horizon": (more["position"] or {}).get("horizon")}
    bare = read_request("AAPL", {**SEED, "position": horizon}).assess(SAMPLE, RULES)
    assert (found.action, found.confidence, found.score) == (bare.action, bare.confidence, bare.score)
    before = len([fact for fact in bare.facts if not fact.id.startswith("stop_")])
    assert found.facts[:before] == bare.facts[:before]
    table, added = fact_table(found), found.facts[before:]
    stated = [f"{{{fact.id}.is}}." for fact in added]
    slots = [f"{{{fact.id}}} and {{close}}." for fact in added]
    said, bare_said = (compose(one, [answer(stated, slots, stated[::-1])]) for one in (found, bare))
    shown = " ".join((*(each.text for each in said.sentences), *risk_notes(found)))
    known = " ".join((*(each.text for each in bare_said.sentences), *risk_notes(bare)))
    facts = " ".join(
        part
        for fact in (*added, table["close"])
        for part in (fact.name, fact.source, table.shown(fact.id), table.language.day(fact.as_of or date.min))
    )
    assert figures(shown) <= figures(known) | figures(facts)
    assert all(each.text.count("\n") == 0 for each in said.sentences)


@given(_given)
def test_a_record_of_a_request_gives_the_same_assessment(more: dict[str, Any]) -> None:
    """The JSON of a request is read as the same request."""
    request = read_request("AAPL", {**SEED, **more})
    plain = json.loads(json.dumps(request.to_json()))
    again = read_request("AAPL", plain)
    assert again == request
    assert again.assess(SAMPLE, RULES) == request.assess(SAMPLE, RULES)


@pytest.fixture
def offline(path: Path) -> Iterator[Supernova]:
    """A client whose LLM calls are switched off."""
    config = Config.model_validate({"database": str(path), "enabled": False})
    with closing(Supernova(config, master=clients.MASTER)) as nova:
        yield nova


async def test_all_of_it_is_recorded_and_replayed(offline: Supernova) -> None:
    """Position, levels, news and own facts, with a date among them: a replay agrees to the last digit."""
    advice = await aadvise(
        SAMPLE,
        **SEED,
        client=offline,
        position={"quantity": 10, "cost_basis": 120, "opened": date(2026, 3, 2), "horizon": "short"},
        risk_per_trade=500,
        facts=[Fact("report", date(2026, 12, 1), name="next report", source="the company")],
        news=[NewsItem("Sales rose", "Reuters", date(2026, 11, 20))],
    )
    ids = [fact.id for fact in advice.details.facts]
    assert ids[-2:] == ["news_1", "report"]
    assert {"position_change", "days_held", "stop_price", "cost_basis"} <= set(ids)
    assert "The position has gained 13.6 %." in advice.rationale
    record = offline.store().read(lambda d: records.find(d, advice.details.record_id or ""))
    assert replay(record).differences == ()
    assert json.loads(record.content)["inputs"]["news"] is None
