"""Suggestions: how the same answers would cost less, each with its arithmetic and what it is based on.

Nothing is suggested without data for it. A cheaper model is suggested for a task if its rated answers to that
task were at least as good; a lower ``max_tokens`` if no answer of the period would have been cut. Whether a
question needed the premium tier is not in the ledger; how the answers of cheaper tiers were rated is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database, fn

from supernova_ai.config import Config
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.money import rounded
from supernova_ai.reports.answers import Answers, Candidate, answers, candidates, cost_at
from supernova_ai.reports.periods import Period
from supernova_ai.store.bulk import run
from supernova_ai.store.tables import RATING_SCALE, RatingRow
from supernova_ai.types import TIERS, Tier

LEAST_RATED = 50
"""Two models are compared if so many answers of each were rated in the same way."""

LEAST_SHARE = 0.01
"""A cheaper model is suggested if it saves at least this share of what all answers cost."""

LEAST_ANSWERS, FAR_ABOVE = 100, 4
"""``max_tokens`` is far above what answers use if it is so many times the longest of so many answers."""

_MARGIN = 1.5
"""The suggested ``max_tokens`` is so many times the longest answer, rounded up to hundreds."""


@dataclass(frozen=True, slots=True)
class CheaperModel:
    """A model that answered the same task at least as well, for less. Money is nano-USD.

    ``would_cost`` is the price of the same tokens at the other model. ``reasons`` are the means that were
    compared, with the number of rated answers behind each.
    """

    task: str
    tier: str
    model: str
    answers: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    instead: str
    instead_tier: str
    would_cost: int
    reasons: tuple[str, ...]

    @property
    def saves(self) -> int:
        """What the answers would have cost less."""
        return self.cost - self.would_cost

    @property
    def suggestion(self) -> str:
        """What to do."""
        setting = f"put {self.instead.partition('/')[0]} first in routing.priority"
        if self.tier != self.instead_tier:
            setting = f"set routing.tasks.{self.task} to {self.instead_tier}"
        return f"Let {self.instead} answer {self.task}: {setting}"

    @property
    def arithmetic(self) -> str:
        """How the amounts are computed."""
        return (
            f"{self.answers:,} answers of {self.model} cost {rounded(self.cost)}; their "
            f"{self.prompt_tokens:,} tokens in and {self.completion_tokens:,} out cost "
            f"{rounded(self.would_cost)} at the price of {self.instead}"
        )


@dataclass(frozen=True, slots=True)
class LowerMaxTokens:
    """A limit of the answers to a task that is far above what they use. Lengths are tokens.

    ``freed`` is what the hold of each call would be less, in nano-USD, on average: no money is saved, but a
    budget refuses fewer calls, and an answer that does not end costs less.
    """

    task: str
    max_tokens: int
    answers: int
    longest: int
    enough: int
    freed: int

    @property
    def suggestion(self) -> str:
        """What to do."""
        return f"Give max_tokens={self.enough} with calls of {self.task}, instead of {self.max_tokens:,}"

    @property
    def arithmetic(self) -> str:
        """How the amounts are computed."""
        return (
            f"The longest of {self.answers:,} answers has {self.longest:,} tokens. With {self.enough:,} none "
            f"would have been cut, and each call holds {rounded(self.freed)} less on average"
        )


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The suggestions, those that save most first; and the models that have too few rated answers.

    ``unrated`` has the task and the model of each, and how many answers were checked and how many rated.
    """

    models: tuple[CheaperModel, ...]
    lengths: tuple[LowerMaxTokens, ...]
    unrated: tuple[tuple[str, str, int, int], ...]


class _Ratings(NamedTuple):
    """A model's ratings in a task: how many, and their sums in thousandths."""

    checked: int = 0
    quality: int = 0
    feedbacks: int = 0
    score: int = 0

    def not_worse(self, other: _Ratings) -> tuple[str, ...]:
        """Return the means that show that these answers are as good as the others; none if they are not."""
        means = (
            ("quality", self.checked, self.quality, other.checked, other.quality),
            ("feedback", self.feedbacks, self.score, other.feedbacks, other.score),
        )
        reasons = []
        for name, count, total, other_count, other_total in means:
            if min(count, other_count) < LEAST_RATED:
                continue
            if total * other_count < other_total * count:
                return ()
            mine, theirs = total / count / RATING_SCALE, other_total / other_count / RATING_SCALE
            reasons.append(
                f"Mean {name} {mine:.2f} of {count:,} answers, against {theirs:.2f} of {other_count:,}"
            )
        return tuple(reasons)


def suggestions(database: Database, config: Config, period: Period) -> Suggestions:
    """Return what the answers of the period suggest."""
    found, ratings = answers(database, period), _ratings(database, period)
    choice = list(candidates(config))
    groups: defaultdict[tuple[str, Tier, str], list[Answers]] = defaultdict(list)
    for one in found:
        if one.sent and one.task in config.routing.tasks and one.tier in TIERS:
            groups[one.task, one.tier, f"{one.provider}/{one.model}"].append(one)
    least = max(1, LEAST_SHARE * sum(one.cost for one in found))
    models = [_cheaper(*key, group, choice, ratings, least) for key, group in groups.items()]
    unrated = {
        (task, model, rated.checked, rated.feedbacks)
        for task, _, model in groups
        if max((rated := ratings.get((task, model), _Ratings())).checked, rated.feedbacks) < LEAST_RATED
    }
    return Suggestions(
        tuple(sorted(filter(None, models), key=lambda one: -one.saves)),
        tuple(sorted(_lower_limits(database, config, period, choice), key=lambda one: -one.freed)),
        tuple(sorted(unrated)),
    )


def _ratings(database: Database, period: Period) -> dict[tuple[str, str], _Ratings]:
    """Return the ratings by task and model."""
    key = (RatingRow.task, RatingRow.provider, RatingRow.model)
    sums = (each(column) for column in (RatingRow.quality, RatingRow.score) for each in (fn.COUNT, fn.SUM))
    first, after = (hour * HOUR_MS for hour in period.hours)
    query = RatingRow.select(*key, *sums).group_by(*key)
    query = query.where((RatingRow.started_ms >= first) & (RatingRow.started_ms < after))
    return {
        (task, f"{provider}/{model}"): _Ratings(*(int(number or 0) for number in numbers))
        for task, provider, model, *numbers in query.tuples().execute(database)
    }


def _cheaper(
    task: str,
    tier: Tier,
    model: str,
    group: Sequence[Answers],
    choice: Sequence[Candidate],
    ratings: Mapping[tuple[str, str], _Ratings],
    least: float,
) -> CheaperModel | None:
    """Return the cheapest model, of no higher tier, that answered the task as well and saves ``least``."""
    rated, cost = ratings.get((task, model), _Ratings()), sum(one.cost for one in group)
    found = []
    for candidate in choice:
        if candidate.name == model or TIERS.index(candidate.tier) > TIERS.index(tier):
            continue
        reasons = ratings.get((task, candidate.name), _Ratings()).not_worse(rated)
        would_cost = cost_at(candidate.price, group)
        if reasons and cost - would_cost >= least:
            found.append((would_cost, candidate, reasons))
    if not found:
        return None
    would_cost, candidate, reasons = min(found, key=lambda one: one[0])
    return CheaperModel(
        task=task,
        tier=tier,
        model=model,
        answers=sum(one.sent for one in group),
        prompt_tokens=sum(one.prompt_tokens for one in group),
        completion_tokens=sum(one.completion_tokens for one in group),
        cost=cost,
        instead=candidate.name,
        instead_tier=candidate.tier,
        would_cost=would_cost,
        reasons=reasons,
    )


_LONGEST = """
SELECT task, max_tokens, provider, model, COUNT(*), MAX(completion_tokens) FROM attempt
WHERE started_ms >= ? AND started_ms < ? AND state = 'settled' AND error_class IS NULL
AND completion_tokens > 0 AND max_tokens > 0 GROUP BY task, max_tokens, provider, model
"""


def _lower_limits(
    database: Database, config: Config, period: Period, choice: Sequence[Candidate]
) -> Iterator[LowerMaxTokens]:
    prices = {(one.provider, one.model): one.price for one in choice}
    start, end = (int(moment.timestamp() * 1000) for moment in (period.start, period.end))
    groups: defaultdict[tuple[str, int], list[tuple[str, str, int, int]]] = defaultdict(list)
    for task, limit, *group in run(database, _LONGEST, start, end).fetchall():
        if task in config.routing.tasks:
            groups[task, limit].append(tuple(group))
    for (task, limit), group in groups.items():
        count, longest = sum(one[2] for one in group), max(one[3] for one in group)
        if count < LEAST_ANSWERS or longest * FAR_ABOVE > limit:
            continue
        enough = -int(-longest * _MARGIN // 100) * 100
        freed = sum(
            sent * (prices[provider, model].bound(0, limit) - prices[provider, model].bound(0, enough))
            for provider, model, sent, _ in group
            if (provider, model) in prices
        )
        yield LowerMaxTokens(task, limit, count, longest, enough, freed // count)
