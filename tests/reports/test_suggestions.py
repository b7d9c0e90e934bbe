"""A suggestion has exact amounts, and data behind it; without them there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.reports.suggestions import LEAST_RATED, Suggestions, suggestions
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from tests.holds import entry
from tests.reports.answered import CONFIG, HOUR, TODAY, USD, answered, rated


@pytest.fixture
def where(path: Path) -> str:
    """The tests of the page Money run on both engines."""
    return str(path)


def found(store: Store) -> Suggestions:
    return store.read(lambda database: suggestions(database, CONFIG, TODAY))


@pytest.fixture
def premium(store: Store) -> Store:
    """A hundred premium answers for 1.60 USD: with rated ones of three models."""
    answered(store, "openai/large", 100, 1_600_000_000)
    rated(store, "openai/large", 60, quality=800)
    rated(store, "openai/good", 50, quality=800)
    rated(store, "openai/small", 70, quality=799)
    return store


def test_a_cheaper_model_that_is_as_good(premium: Store) -> None:
    """The same tokens are priced at the other model; the cheapest of those that are as good is suggested."""
    (one,) = found(premium).models
    assert (one.task, one.model, one.instead, one.instead_tier) == (
        "analysis",
        "openai/large",
        "openai/good",
        "standard",
    )
    assert (one.cost, one.would_cost, one.saves) == (1_600_000_000, 300_000_000, 1_300_000_000)
    assert one.reasons == ("Mean quality 0.80 of 50 answers, against 0.80 of 60",)
    assert one.suggestion == ("Let openai/good answer analysis: set routing.tasks.analysis to standard")
    assert one.arithmetic == (
        "100 answers of openai/large cost $1.60; their 100,000 tokens in and 10,000 out cost $0.30 at the "
        "price of openai/good"
    )


def test_a_cheaper_provider_of_the_same_tier(store: Store) -> None:
    """Feedback alone is a measure too; the provider is then to be asked first."""
    answered(store, "openai/large", 100, 1_600_000_000)
    rated(store, "openai/large", 50, score=-200)
    rated(store, "anthropic/good", 50, score=500)
    (one,) = found(store).models
    assert (one.instead, one.saves) == ("anthropic/good", 1_300_000_000)
    assert one.suggestion == ("Let anthropic/good answer analysis: put anthropic first in routing.priority")
    assert one.reasons == ("Mean feedback 0.50 of 50 answers, against -0.20 of 50",)


CHANGES: dict[str, dict[str, Any]] = {
    "too few rated answers": {"count": LEAST_RATED - 1, "quality": 900},
    "another task": {"count": 60, "quality": 900, "task": "chat"},
    "another measure": {"count": 60, "score": 900},
    "not as good": {"count": 60, "quality": 799},
}


@pytest.mark.parametrize("why", CHANGES)
def test_nothing_is_suggested_without_data(store: Store, why: str) -> None:
    """Too few ratings, ratings of something else, or a lower mean are no reason; the first are listed."""
    answered(store, "openai/large", 100, 1_600_000_000)
    answered(store, "openai/good", 10, 30_000_000, tier="standard")
    rated(store, "openai/large", 60, quality=800)
    rated(store, "openai/good", **CHANGES[why])
    report = found(store)
    assert report.models == ()
    is_rated = why in ("another measure", "not as good")
    assert [row[:2] for row in report.unrated] == ([] if is_rated else [("analysis", "openai/good")])


def test_both_measures_must_agree(premium: Store) -> None:
    """A model whose answers users like less is not suggested, however good they look."""
    rated(premium, "openai/large", 50, score=300)
    rated(premium, "openai/good", 50, score=299)
    assert found(premium).models == ()


def test_small_change_is_not_worth_a_suggestion(premium: Store) -> None:
    """What saves less than one percent of all answers' cost is left out."""
    answered(premium, "openai/good", 10_000, 130 * USD - 1_600_000_000, task="chat", tier="standard")
    assert len(found(premium).models) == 1
    answered(premium, "anthropic/good", 1, 1, task="chat", tier="standard")
    assert found(premium).models == ()


def attempts(store: Store, *completions: int, max_tokens: int = 4000, **given: Any) -> None:
    def write(database: Database) -> None:
        for number, completion in enumerate(completions):
            one = entry(f"{completion}-{number}-{given}", 0, HOUR * 3_600_000, model="good", task="chat")
            row = {name: getattr(one, name) for name in one.__slots__} | {
                "state": "settled",
                "completion_tokens": completion,
                "max_tokens": max_tokens,
            }
            columns = {field.column_name: field for field in AttemptRow._meta.sorted_fields}
            AttemptRow.insert({columns[name]: value for name, value in (row | given).items()}).execute(
                database
            )

    store.write(write).result()


def test_max_tokens_far_above_the_answers(store: Store) -> None:
    """The longest answer decides, with a margin; what a call would hold less is the price of the rest."""
    attempts(store, *[200] * 99, 600)
    (one,) = found(store).lengths
    assert (one.task, one.max_tokens, one.answers, one.longest, one.enough) == ("chat", 4000, 100, 600, 900)
    assert one.freed == 3100 * 10_000
    assert one.suggestion == "Give max_tokens=900 with calls of chat, instead of 4,000"
    assert one.arithmetic == (
        "The longest of 100 answers has 600 tokens. With 900 none would have been cut, and each call holds "
        "$0.031 less on average"
    )


@pytest.mark.parametrize(
    ("completions", "given"),
    [
        ([200] * 99, {}),
        ([*[200] * 100, 1001], {}),
        ([200] * 100, {"max_tokens": 799}),
        ([200] * 100, {"error_class": "Abandoned"}),
        ([200] * 100, {"task": "probe"}),
    ],
)
def test_max_tokens_that_are_right(store: Store, completions: list[int], given: dict[str, Any]) -> None:
    """Few answers, a long one, a tight limit, and attempts without an answer suggest nothing."""
    attempts(store, *completions, **given)
    assert found(store).lengths == ()


def test_an_empty_ledger(store: Store) -> None:
    """It suggests nothing."""
    assert found(store) == Suggestions((), (), ())
