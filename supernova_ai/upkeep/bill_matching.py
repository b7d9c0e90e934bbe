"""Which line of a provider's export is the bill of which attempt.

By id where both sides have one. Otherwise a bill fits an attempt of the same model that was sent within the
tolerance of its time and could have had its tokens; the pair counts only if each is the other's best choice,
and clearly so. Attempts whose cost is known exactly take part, so that nobody else is given their bill.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from supernova_ai.upkeep.provider_bills import Bill

CLEAR_MS = 1000
"""Exports tell whole seconds, so who is nearer by less than one is not nearer."""

_DATED = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that may have been billed. Cost in nano-USD; ``open`` says that it is not known exactly."""

    id: str
    open: bool
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
    """Pairs of attempt and bill, open attempts that several bills may belong to, and the bills of none."""

    pairs: tuple[tuple[Candidate, Bill], ...]
    ambiguous: tuple[tuple[Candidate, tuple[Bill, ...]], ...]
    unclaimed: tuple[Bill, ...]


Rank = tuple[int, int]
"""How ill a bill suits an attempt: 0 with the same tokens, else 1; then the milliseconds between them."""


def match(candidates: Sequence[Candidate], bills: Sequence[Bill], *, tolerance_ms: int) -> Matches:
    """Match one to one; what is not certain stays without a match."""
    pairs, ambiguous, rest, left = _by_id(candidates, bills)
    fits = _fits(rest, left, tolerance_ms)
    paired: set[int] = set()
    while found := _mutual(fits):
        paired.update(b for _, b in found)
        pairs.extend((rest[a], left[b]) for a, b in found)
        gone_attempts, gone_bills = ({pair[i] for pair in found} for i in (0, 1))
        fits = {
            (a, b): rank for (a, b), rank in fits.items() if a not in gone_attempts and b not in gone_bills
        }
    several: defaultdict[int, list[Bill]] = defaultdict(list)
    for a, b in sorted(fits):
        if rest[a].open:
            several[a].append(left[b])
    ambiguous.extend((rest[a], tuple(found)) for a, found in several.items())
    claimed = paired | {b for _, b in fits}
    unclaimed = (bill for b, bill in enumerate(left) if b not in claimed)
    return Matches(tuple(pairs), tuple(ambiguous), tuple(unclaimed))


def _by_id(
    candidates: Iterable[Candidate], bills: Iterable[Bill]
) -> tuple[
    list[tuple[Candidate, Bill]], list[tuple[Candidate, tuple[Bill, ...]]], list[Candidate], list[Bill]
]:
    """Return pairs and ambiguities by id, and the attempts and bills that have no part in them."""
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
    gone: set[str] = set()
    for name, found in billed.items():
        gone.update(candidate.id for candidate in owners[name])
        if len(found) == len(owners[name]) == 1:
            pairs.append((owners[name][0], found[0]))
        else:
            ambiguous.extend((candidate, tuple(found)) for candidate in owners[name] if candidate.open)
    return pairs, ambiguous, [each for each in candidates if each.id not in gone], left


def _fits(
    candidates: Sequence[Candidate], bills: Sequence[Bill], tolerance_ms: int
) -> dict[tuple[int, int], Rank]:
    """Return which bills fit which attempts, by their places in both, and how well."""
    times: defaultdict[tuple[str | int, ...], list[tuple[int, int]]] = defaultdict(list)
    for place, bill in enumerate(bills):
        if bill.at_ms is None or bill.model is None or bill.prompt is None or bill.completion is None:
            continue
        model = _undated(bill.model)
        times[model,].append((bill.at_ms, place))
        times[model, bill.prompt, bill.completion].append((bill.at_ms, place))
    for found in times.values():
        found.sort()
    fits = {}
    for place, candidate in enumerate(candidates):
        kind = (_undated(candidate.model), candidate.prompt, candidate.completion)
        near = times.get(kind[:1] if candidate.open else kind, [])
        first = bisect_left(near, (candidate.started_ms - tolerance_ms, 0))
        last = bisect_right(near, (candidate.started_ms + tolerance_ms, len(bills)))
        for at_ms, number in near[first:last]:
            bill = bills[number]
            if _possible(candidate, bill):
                same = (bill.prompt, bill.completion) == kind[1:]
                fits[place, number] = (0 if same else 1, abs(at_ms - candidate.started_ms))
    return fits


def _possible(candidate: Candidate, bill: Bill) -> bool:
    if bill.id is not None and candidate.response is not None:
        return False  # both have an id, and not the same
    if not candidate.open or candidate.max_tokens is None:
        return True
    return (bill.completion or 0) <= candidate.max_tokens


def _mutual(fits: dict[tuple[int, int], Rank]) -> list[tuple[int, int]]:
    """Return the pairs in which each is clearly the other's best."""
    of_attempts: defaultdict[int, list[tuple[Rank, int]]] = defaultdict(list)
    of_bills: defaultdict[int, list[tuple[Rank, int]]] = defaultdict(list)
    for (attempt, bill), rank in fits.items():
        of_attempts[attempt].append((rank, bill))
        of_bills[bill].append((rank, attempt))
    best = dict(_clear(of_bills))
    return [(attempt, bill) for attempt, bill in _clear(of_attempts) if best.get(bill) == attempt]


def _clear(choices: dict[int, list[tuple[Rank, int]]]) -> Iterator[tuple[int, int]]:
    for who, ranked in choices.items():
        (first, choice), *others = sorted(ranked)
        if not others or others[0][0] >= (first[0], first[1] + CLEAR_MS):
            yield who, choice


def _undated(model: str) -> str:
    """Return the model without the date of its version, which bills often have and requests have not."""
    return _DATED.sub("", model)
