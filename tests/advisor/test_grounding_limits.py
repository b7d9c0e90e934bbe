"""How much of a text is checked: the work is bounded, and what is not read does not pass."""

from __future__ import annotations

from collections import Counter

import pytest

from supernova_ai.advisor import rationale, slots
from supernova_ai.advisor.ensemble import assess
from supernova_ai.advisor.grounding import LONGEST, check
from supernova_ai.advisor.grounding.check import MOST_FIGURES
from supernova_ai.advisor.grounding.clauses import MOST, sentences
from supernova_ai.advisor.grounding.judge import Judge
from supernova_ai.advisor.grounding.mentions import periods_in
from supernova_ai.analysis import quality, sentiment
from supernova_ai.config import AdviceRules
from tests.advisor.sample_advice import GOOD, SAMPLE, SEED

FOUND = assess(SAMPLE, **SEED)
RULES = AdviceRules()
SECTIONS = ["Summary", "Why", "What speaks against it", "Risk"]

FLOODS = {
    "one long number": "1" * 100_000,
    "many numbers": "1 " * 50_000,
    "a number in words": "one two " * 10_000,
    "one long sentence": "the price rose by and fell at about " * 3_000,
    "names of facts": "close " * 20_000,
    "periods": "1 day " * 20_000,
    "dates": "2026-11-20 " * 9_000,
    "lines": "\n" * 100_000,
    "advice": "buy " * 25_000,
}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the figures that are compared with the facts."""
    counter: Counter[str] = Counter()
    claim = Judge.claim

    def counted(*given: object) -> object:
        counter["figures"] += 1
        return claim(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Judge, "claim", counted)
    return counter


@pytest.mark.parametrize("text", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("checked", [check, slots.check_slots])
def test_a_flood_is_not_read_to_its_end(checked: object, text: str, judged: Counter[str]) -> None:
    """Of a flood so many characters and figures are read, and the rest is a violation that says so."""
    report = checked(text, FOUND.facts, **rationale.grounding_context(FOUND, RULES))  # type: ignore[operator]
    assert judged["figures"] <= MOST_FIGURES
    read = [claim for claim in report.claims if claim.kind != "rest"]
    assert all(claim.end <= LONGEST for claim in read)
    rests = [claim for claim in report.violations if claim.kind == "rest"]
    assert any(claim.start == LONGEST and "8,000 characters" in claim.source for claim in rests)
    assert not report.grounded


def test_a_flood_after_a_good_text_spoils_it() -> None:
    """A wrong figure cannot hide behind the limit: the text as a whole does not hold."""
    text = GOOD + "\n" + "So it is. " * 800 + "The price rose by 99 %."
    draft = rationale.check_text(text, FOUND, RULES, SECTIONS)
    assert f"the text has {len(text):,} characters, and at most 8,000 are read: shorten it" in draft.faults
    assert len(draft.text) <= LONGEST
    short = rationale.check_text(GOOD, FOUND, RULES, SECTIONS)
    assert short.faults == ()


def test_figures_beyond_the_most_do_not_hold() -> None:
    """The 201st figure and what follows it are one violation, though each of them would hold."""
    text = "The close is $136.36. " * (MOST_FIGURES + 50)
    report = check(text, FOUND.facts)
    (rest,) = report.violations
    assert (rest.kind, rest.start) == ("rest", text.index("$") + len("The close is $136.36. ") * MOST_FIGURES)
    assert "only 200 figures are checked" in rest.source
    assert check("The close is $136.36. " * MOST_FIGURES, FOUND.facts).grounded


def test_an_endless_sentence_is_cut_at_spaces() -> None:
    """No sentence is longer than the most, and the parts are the whole text."""
    text = "the price is what it is and " * 200 + "x" * 3 * MOST
    spans = sentences(text)
    assert max(span.end - span.start for span in spans) <= MOST
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(text[span.start] in " x" for span in spans[1:])


def test_a_period_is_a_whole_number() -> None:
    """A period is read from its first digit on, wherever a search begins."""
    assert periods_in(f"over {'1' * 3_000}63 bars") != periods_in("over 63 bars")
    assert len(periods_in("over 63 bars")) == 1


def test_quality_reads_the_beginning_and_judges_the_end() -> None:
    """The score of a long text is that of its beginning, and says whether its end is complete."""
    good = "The price rose 3 % on strong demand, and the risk is small.\n"
    text = "".join(f"{n}. {good}" for n in range(1_000))
    assert len(text) > 2 * quality.MOST_CHARACTERS
    cut_off = quality.rate_quality(text + "and so it w").parts
    assert (quality.rate_quality(text).parts["complete"], cut_off["complete"]) == (1.0, 0.7)
    assert quality.rate_quality(text + "x" * 10**6).parts["says"] == quality.rate_quality(text).parts["says"]


def test_a_score_is_looked_for_in_the_beginning() -> None:
    """A score far behind is none, and the reason is the usual one."""
    assert sentiment.read_sentiment("\n" * 100 + "Score: 0.5") == 0.5
    assert sentiment.read_sentiment("\n" * quality.MOST_CHARACTERS + "Score: 0.5") == (
        'the answer has no line that begins with "Score:"'
    )
