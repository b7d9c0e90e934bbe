"""Bill matching: which line of a provider's export is the bill of which attempt.

By id where both sides have one. Otherwise a bill fits an attempt of the same model that was sent within the
tolerance of the bill's time and could have used its tokens. A pair counts only if each is clearly the best
match of the other. Attempts whose cost is known exactly take part too, so that no other attempt gets their
bill.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from supernova_ai.upkeep.provider_bills import Bill

CLEAR_MS = 1000
"""Exports have whole seconds, so differences under one second count as ties."""

_DATE_SUFFIX = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that may have been billed. The cost is nano-USD; ``uncertain``: it is not known exactly."""

    id: str
    uncertain: bool
    cost: int
    model: str
    started_ms: int
    prompt: int
    completion: int
    max_tokens: int | None
    response: str | None
    state: str = "settled"


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of attempt and bill, uncertain attempts with several possible bills, and bills of no attempt."""

    pairs: tuple[tuple[Candidate, Bill], ...]
    ambiguous: tuple[tuple[Candidate, tuple[Bill, ...]], ...]
    unclaimed: tuple[Bill, ...]


Pair = tuple[int, int]
"""The indices of an attempt and a bill."""

Rank = tuple[int, int]
"""How well a bill fits an attempt, the lowest best: 0 with equal tokens, else 1; then milliseconds apart."""


def match(candidates: Sequence[Candidate], bills: Sequence[Bill], *, tolerance_ms: int) -> Matches:
    """Match attempts and bills one to one; uncertain matches are left out."""
    pairs, ambiguous, rest, left = _by_id(candidates, bills)
    fits = _fits(rest, left, tolerance_ms)
    paired: set[int] = set()
    while found := _mutual_best(fits):
        paired.update(bill for _, bill in found)
        pairs.extend((rest[attempt], left[bill]) for attempt, bill in found)
        done_attempts, done_bills = ({pair[i] for pair in found} for i in (0, 1))
        fits = {
            pair: rank
            for pair, rank in fits.items()
            if pair[0] not in done_attempts and pair[1] not in done_bills
        }
    possible: defaultdict[int, list[Bill]] = defaultdict(list)
    for attempt, bill in sorted(fits):
        if rest[attempt].uncertain:
            possible[attempt].append(left[bill])
    ambiguous.extend((rest[attempt], tuple(found)) for attempt, found in possible.items())
    claimed = paired | {bill for _, bill in fits}
    unclaimed = tuple(bill for index, bill in enumerate(left) if index not in claimed)
    return Matches(tuple(pairs), tuple(ambiguous), unclaimed)


def _by_id(
    candidates: Iterable[Candidate], bills: Iterable[Bill]
) -> tuple[
    list[tuple[Candidate, Bill]], list[tuple[Candidate, tuple[Bill, ...]]], list[Candidate], list[Bill]
]:
    """Return pairs and ambiguities by id, and the remaining attempts and bills."""
    owners: defaultdict[str, list[Candidate]] = defaultdict(list)
    billed: defaultdict[str, list[Bill]] = defaultdict(list)
    for candidate in candidates:
        for name in {candidate.id, candidate.response} - {None}:
            owners[str(name)].append(candidate)
    left = []
    for bill in bills:
        if bill.id is not None and bill.id in owners:
            billed[bill.id].append(bill)
        else:
            left.append(bill)
    pairs: list[tuple[Candidate, Bill]] = []
    ambiguous: list[tuple[Candidate, tuple[Bill, ...]]] = []
    done: set[str] = set()
    for name, found in billed.items():
        done.update(candidate.id for candidate in owners[name])
        if len(found) == len(owners[name]) == 1:
            pairs.append((owners[name][0], found[0]))
        else:
            ambiguous.extend((candidate, tuple(found)) for candidate in owners[name] if candidate.uncertain)
    return pairs, ambiguous, [each for each in candidates if each.id not in done], left


def _fits(candidates: Sequence[Candidate], bills: Sequence[Bill], tolerance_ms: int) -> dict[Pair, Rank]:
    """Return which bills fit which attempts, and how well."""
    times: defaultdict[tuple[str | int, ...], list[tuple[int, int]]] = defaultdict(list)
    for index, bill in enumerate(bills):
        if bill.at_ms is None or bill.model is None or bill.prompt is None or bill.completion is None:
            continue
        model = _undated(bill.model)
        times[model,].append((bill.at_ms, index))
        times[model, bill.prompt, bill.completion].append((bill.at_ms, index))
    for found in times.values():
        found.sort()
    fits = {}
    for attempt, candidate in enumerate(candidates):
        exact = (_undated(candidate.model), candidate.prompt, candidate.completion)
        near = times.get(exact[:1] if candidate.uncertain else exact, [])
        first = bisect_left(near, (candidate.started_ms - tolerance_ms, 0))
        last = bisect_right(near, (candidate.started_ms + tolerance_ms, len(bills)))
        for at_ms, index in near[first:last]:
            bill = bills[index]
            if _is_possible(candidate, bill):
                same_tokens = (bill.prompt, bill.completion) == exact[1:]
                fits[attempt, index] = (0 if same_tokens else 1, abs(at_ms - candidate.started_ms))
    return fits


def _is_possible(candidate: Candidate, bill: Bill) -> bool:
    if bill.id is not None and candidate.response is not None:
        return False  # both have an id, and the ids differ
    if not candidate.uncertain or candidate.max_tokens is None:
        return True
    return (bill.completion or 0) <= candidate.max_tokens


def _mutual_best(fits: Mapping[Pair, Rank]) -> list[Pair]:
    """Return the pairs in which each is clearly the best match of the other."""
    by_attempt: defaultdict[int, list[tuple[Rank, int]]] = defaultdict(list)
    by_bill: defaultdict[int, list[tuple[Rank, int]]] = defaultdict(list)
    for (attempt, bill), rank in fits.items():
        by_attempt[attempt].append((rank, bill))
        by_bill[bill].append((rank, attempt))
    best_of_bills = dict(_clearly_best(by_bill))
    return [
        (attempt, bill) for attempt, bill in _clearly_best(by_attempt) if best_of_bills.get(bill) == attempt
    ]


def _clearly_best(choices: Mapping[int, list[tuple[Rank, int]]]) -> Iterator[tuple[int, int]]:
    for index, ranked in choices.items():
        (first, choice), *others = sorted(ranked)
        if not others or others[0][0] >= (first[0], first[1] + CLEAR_MS):
            yield index, choice


def _undated(model: str) -> str:
    """Return the model's name without a date at its end, which bills often have and requests do not."""
    return _DATE_SUFFIX.sub("", model)
