"""Reconcile: learn the cost of lost and estimated attempts by hand or from the provider's export.

Every correction moves the attempt's windows and rollups, and is written into the journal with its reason, in
one transaction. What the export bills beside that, ``booking`` takes into the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from peewee import Database, Expression

from supernova_ai.errors import InvalidRequest
from supernova_ai.ledger import holds, opening_balances
from supernova_ai.ledger.holds import End, Hold
from supernova_ai.ledger.unwritten_ends import Look
from supernova_ai.money import show
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, JournalRow
from supernova_ai.types import Outcome, Usage
from supernova_ai.upkeep.bill_matching import Candidate, match
from supernova_ai.upkeep.provider_bills import MOST_COST, Bill

EVENT = "attempt.corrected"

_CERTAIN = ("exact", "cached")
"""The bases of a cost that no bill can correct."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What an attempt is found to have cost, in nano-USD, and why; tokens and response id where known."""

    attempt: str
    cost: int
    reason: str
    usage: Usage | None = None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An attempt and the line of the export that is its bill. Costs are nano-USD."""

    attempt: str
    line: int
    counted: int
    billed: int
    bill: Bill


@dataclass(frozen=True, slots=True)
class Plan:
    """What an export says of the attempts whose cost is not known exactly.

    ``matched`` can be applied; ``ambiguous`` names attempts that several lines may belong to, with the lines;
    ``unmatched`` those no line fits; ``differing`` exactly settled attempts that were billed otherwise, to be
    looked at and settled by hand. ``released`` are attempts that were billed and count nothing;
    ``unclaimed`` the lines that belong to no attempt, under the id that a row of it would have.
    """

    matched: tuple[Match, ...]
    ambiguous: tuple[tuple[str, tuple[int, ...]], ...]
    unmatched: tuple[str, ...]
    differing: tuple[Match, ...]
    released: tuple[Match, ...] = ()
    unclaimed: tuple[tuple[str, Bill], ...] = ()

    @property
    def uncounted(self) -> int:
        """What the lines bill that the ledger does not count, in nano-USD."""
        return sum(m.billed for m in self.released) + sum(bill.cost for _, bill in self.unclaimed)


def uncertain(database: Database) -> Iterator[AttemptRow]:
    """Yield the attempts that are lost, or settled at a cost not known exactly, oldest first."""
    query = AttemptRow.select().where(_uncertain()).order_by(AttemptRow.started_ms, AttemptRow.id)
    yield from query.iterator(database)


def settle(store: Store, correction: Correction, look: Look, *, now_ms: int) -> None:
    """Settle an attempt that has ended at the cost it is found to have had.

    Args:
        look: is shown how the windows stand afterwards, for alerts.

    Raises:
        InvalidRequest: there is no such attempt, it is still held, or the reason or the cost cannot be.
    """
    if not correction.reason.strip():
        raise InvalidRequest("a correction needs a reason: it is kept in the journal")
    if correction.cost < 0:
        raise InvalidRequest("a cost cannot be below 0")
    if correction.cost > MOST_COST:
        raise InvalidRequest(f"a cost cannot be above {show(MOST_COST)}: it is in USD")

    def operation(database: Database) -> None:
        row = _row(database, correction.attempt)
        if row is None:
            raise InvalidRequest(
                f"there is no attempt {correction.attempt!r} in the ledger: 'supernova ledger lost' lists "
                f"those to settle; if it was archived, restore its archive first"
            )
        if row.state == "held":
            raise InvalidRequest(f"attempt {row.id} is still under way: its own end will settle it")
        _correct(database, row, correction, look, now_ms)

    store.write(operation).result()


def plan(database: Database, bills: Iterable[Bill], *, provider: str, tolerance_s: float) -> Plan:
    """Find the bills of the provider's attempts; nothing is written.

    Args:
        tolerance_s: how far the times of attempt and bill may be apart, in seconds.

    Raises:
        InvalidRequest: the ledger has no attempt of such a provider.
    """
    bills = list(bills)
    tolerance_ms = round(tolerance_s * 1000)
    candidates = list(_candidates(database, bills, provider, tolerance_ms))
    if not candidates:
        asked = AttemptRow.select(AttemptRow.provider).distinct().order_by(AttemptRow.provider)
        known = [name for (name,) in asked.tuples().execute(database)]
        if provider not in known:
            there = ", ".join(known) or "nobody"
            raise InvalidRequest(f"the ledger has no attempt of {provider!r}; it has attempts of: {there}")
    first = match(candidates, bills, tolerance_ms=tolerance_ms)
    done = {candidate.id for candidate, _ in first.pairs} | {candidate.id for candidate, _ in first.ambiguous}
    # A line that is left may still be of an attempt that was released, is held, or counted other tokens.
    others = [replace(each, open=True) for each in candidates if not each.open and each.id not in done]
    second = match(others, first.unclaimed, tolerance_ms=tolerance_ms)
    pairs = [
        (candidate, Match(candidate.id, bill.line, candidate.cost, bill.cost, bill))
        for candidate, bill in (*first.pairs, *second.pairs)
    ]
    uncertain_ids = {each.id for each in candidates if each.open}
    certain = [(one, found) for one, found in pairs if one.id not in uncertain_ids]
    doubtful = [(one, found) for one, found in second.ambiguous if one.state == "released"]
    return Plan(
        matched=tuple(found for candidate, found in pairs if candidate.id in uncertain_ids),
        ambiguous=tuple(
            (candidate.id, tuple(bill.line for bill in found))
            for candidate, found in (*first.ambiguous, *doubtful)
        ),
        unmatched=tuple(each.id for each in candidates if each.open and each.id not in done),
        differing=tuple(
            found
            for candidate, found in certain
            if candidate.state == "settled" and found.counted != found.billed
        ),
        released=tuple(found for candidate, found in certain if candidate.state == "released"),
        unclaimed=_not_booked(database, provider, bills, second.unclaimed),
    )


def apply(store: Store, plan: Plan, look: Look, *, source: str, now_ms: int) -> int:
    """Settle what the plan matched; return how many were, without those whose cost is known meanwhile.

    Args:
        source: the name of the export, for the journal.
    """
    settle_one = partial(settle_billed, where=_uncertain(), look=look, source=source, now_ms=now_ms)
    writes = [store.write(partial(settle_one, found)) for found in plan.matched]
    return sum(write.result() for write in writes)


def settle_billed(
    found: Match, database: Database, *, where: Expression, look: Look, source: str, now_ms: int
) -> bool:
    """Settle an attempt at its bill, inside an operation; return False where it is not so any more.

    Args:
        where: what its row must still be.
    """
    row = _row(database, found.attempt, where)
    if row is None:
        return False
    bill = found.bill
    usage = None
    if bill.prompt is not None and bill.completion is not None:
        usage = Usage(bill.prompt, bill.completion, row.cached, row.cache_write, row.reasoning)
    reason = f"{source}, line {found.line}"
    correction = Correction(found.attempt, found.billed, reason, usage, row.response or bill.id)
    _correct(database, row, correction, look, now_ms)
    return True


def _not_booked(
    database: Database, provider: str, bills: Iterable[Bill], unclaimed: Iterable[Bill]
) -> tuple[tuple[str, Bill], ...]:
    """Return the lines that cost something and have no row yet, each with the id of its row.

    The id is made of what the line says, and of how many lines before it say the same, so that the same line
    has it in every export.
    """
    alike: Counter[str] = Counter()
    ids = {}
    for bill in bills:
        said = [bill.id] if bill.id else [bill.at_ms, bill.model, bill.prompt, bill.completion, bill.cost]
        text = json.dumps([provider, *said])
        ids[bill.line] = "bill-" + hashlib.sha256(f"{text} {alike[text]}".encode()).hexdigest()[:32]
        alike[text] += 1
    found = [(ids[bill.line], bill) for bill in unclaimed if bill.cost]
    return tuple((id_, bill) for id_, bill in found if _row(database, id_) is None)


def _correct(database: Database, row: AttemptRow, correction: Correction, look: Look, now_ms: int) -> None:
    assert row.ended_ms is not None
    kept = Usage(row.prompt, row.completion, row.cached, row.cache_write, row.reasoning)
    end = End(
        "settled",
        correction.cost,
        "exact",
        correction.usage or kept,
        ended_ms=row.ended_ms,  # it did end then; when it was corrected is in the journal
        error=row.error,
        response=correction.response,
    )
    before = told(row)
    opening_balances.adopt(database, row.id)
    hold = Hold(row.id, row.cost, tuple(json.loads(row.windows)))
    windows = holds.end(database, hold, end, was=cast(Outcome, row.state))
    after = _row(database, row.id)
    assert windows is not None  # writers take turns: nobody has changed the row since it was read
    assert after is not None
    look(database, windows)
    JournalRow.insert(
        at_ms=now_ms,
        event=EVENT,
        attempt=row.id,
        before=before,
        after=told(after),
        reason=correction.reason,
    ).execute(database)


def told(row: AttemptRow) -> str:
    """Return what the journal keeps of an attempt's row."""
    return json.dumps(
        {
            "state": row.state,
            "cost_nano": row.cost,
            "basis": row.basis,
            "prompt_tokens": row.prompt,
            "completion_tokens": row.completion,
        }
    )


def _row(database: Database, attempt: str, where: Expression | None = None) -> AttemptRow | None:
    query = AttemptRow.select().where(AttemptRow.id == attempt)
    return next(iter((query if where is None else query.where(where)).execute(database)), None)


def _uncertain() -> Expression:
    return (AttemptRow.state == "lost") | (
        (AttemptRow.state == "settled") & AttemptRow.basis.not_in(_CERTAIN)
    )


def _candidates(
    database: Database, bills: list[Bill], provider: str, tolerance_ms: int
) -> Iterator[Candidate]:
    """Yield the provider's attempts that a bill names or that were sent in the time the export is of."""
    ids = {bill.id for bill in bills} - {None}
    times = [bill.at_ms for bill in bills if bill.at_ms is not None]
    first, last = (min(times) - tolerance_ms, max(times) + tolerance_ms) if times else (0, -1)
    asked = AttemptRow.basis.is_null() | (AttemptRow.basis != "cached")  # for those nobody was asked
    query = AttemptRow.select().where((AttemptRow.provider == provider) & asked)
    for row in query.iterator(database):
        if row.id in ids or row.response in ids or first <= row.started_ms <= last:
            yield Candidate(
                row.id,
                row.state == "lost" or (row.state == "settled" and row.basis not in _CERTAIN),
                row.cost,
                row.model,
                row.started_ms,
                row.prompt,
                row.completion,
                row.max_tokens,
                row.response,
                row.state,
            )
