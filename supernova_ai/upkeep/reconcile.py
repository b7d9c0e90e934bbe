"""Reconcile: correct the cost of lost and estimated attempts, by hand or from the provider's export.

Every correction changes the attempt's windows and rollups and writes its reason into the journal, in one
transaction. ``booking`` counts what the export bills beyond these attempts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from peewee import Database, Expression

from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.audited_store import AuditedStore, Record
from supernova_ai.ledger import batch_in, holds, opening_balances
from supernova_ai.ledger.holds import End, Hold
from supernova_ai.ledger.unwritten_ends import ThresholdCheck
from supernova_ai.money import show
from supernova_ai.store.tables import AttemptRow, JournalRow
from supernova_ai.types import Outcome, Usage
from supernova_ai.upkeep.bill_matching import Candidate, match
from supernova_ai.upkeep.provider_bills import MOST_COST, Bill

EVENT = "attempt.corrected"

_CERTAIN = ("exact", "cached")
"""The bases of costs that are certain."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The cost of an attempt in nano-USD, and the reason; tokens and response id if known."""

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
    """What an export says about attempts.

    ``matched`` are uncertain attempts that can be settled; ``ambiguous`` those with several possible lines;
    ``unmatched`` those without a line. ``differing`` are exactly settled attempts that were billed otherwise:
    look at them, and settle them by hand. ``released`` are attempts that were billed but count nothing;
    ``unclaimed`` are the lines of no attempt, each with the id that its row would have.
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


def uncertain_attempts(database: Database) -> Iterator[AttemptRow]:
    """Yield the attempts that are lost, or settled at a cost not known exactly, oldest first."""
    query = AttemptRow.select().where(_uncertain()).order_by(AttemptRow.started_ms, AttemptRow.id)
    yield from query.iterator(database)


def settle_attempt(
    vault: AuditedStore, correction: Correction, check_thresholds: ThresholdCheck, *, now_ms: int
) -> None:
    """Settle an attempt that has ended at its corrected cost.

    Args:
        check_thresholds: called with what is spent in the windows afterwards, for alerts.

    Raises:
        InvalidRequest: there is no such attempt, it is still held, or the reason or the cost is impossible.
    """
    if not correction.reason.strip():
        raise InvalidRequest("a correction needs a reason: it is kept in the journal")
    if correction.cost < 0:
        raise InvalidRequest("a cost cannot be below 0")
    if correction.cost > MOST_COST:
        raise InvalidRequest(f"a cost cannot be above {show(MOST_COST)}: it is in USD")

    def operation(database: Database, record: Record) -> None:
        row = find_attempt(database, correction.attempt)
        if row is None:
            raise InvalidRequest(
                f"there is no attempt {correction.attempt!r} in the ledger: 'supernova ledger lost' lists "
                f"those to settle; if it was archived, restore its archive first"
            )
        if row.state == "held":
            raise InvalidRequest(f"attempt {row.id} is still running: it is settled when it ends")
        before = row.cost
        _correct(database, row, correction, check_thresholds, now_ms)
        record("ledger.settled", row.id, {"before_nano": before, "after_nano": correction.cost})

    vault.audited(operation)


def make_plan(database: Database, bills: Iterable[Bill], *, provider: str, tolerance_s: float) -> Plan:
    """Match the bills with the provider's attempts; nothing is written.

    Args:
        tolerance_s: how far the times of attempt and bill may be apart, in seconds.

    Raises:
        InvalidRequest: the ledger has no attempt of this provider.
    """
    bills = list(bills)
    tolerance_ms = round(tolerance_s * 1000)
    candidates = list(_candidates(database, bills, provider, tolerance_ms))
    if not candidates:
        _check_provider(database, provider)
    uncertain = {each.id for each in candidates if each.uncertain}
    first = match(candidates, bills, tolerance_ms=tolerance_ms)
    done = {candidate.id for candidate, _ in first.pairs} | {candidate.id for candidate, _ in first.ambiguous}
    # A line that is left may belong to an attempt that was released, is held, or counted other tokens.
    others = [
        replace(each, uncertain=True) for each in candidates if not each.uncertain and each.id not in done
    ]
    second = match(others, first.unclaimed, tolerance_ms=tolerance_ms)
    pairs = [
        (candidate, Match(candidate.id, bill.line, candidate.cost, bill.cost, bill))
        for candidate, bill in (*first.pairs, *second.pairs)
    ]
    certain = [(candidate, found) for candidate, found in pairs if candidate.id not in uncertain]
    ambiguous = [*first.ambiguous, *(pair for pair in second.ambiguous if pair[0].state == "released")]
    return Plan(
        matched=tuple(found for candidate, found in pairs if candidate.id in uncertain),
        ambiguous=tuple(
            (candidate.id, tuple(bill.line for bill in possible)) for candidate, possible in ambiguous
        ),
        unmatched=tuple(each.id for each in candidates if each.uncertain and each.id not in done),
        differing=tuple(
            found
            for candidate, found in certain
            if candidate.state == "settled" and found.counted != found.billed
        ),
        released=tuple(found for candidate, found in certain if candidate.state == "released"),
        unclaimed=_without_rows(database, provider, bills, second.unclaimed),
    )


def settle_matched(
    vault: AuditedStore, plan: Plan, check_thresholds: ThresholdCheck, *, source: str, now_ms: int
) -> int:
    """Settle the plan's matched attempts; return how many, without those that are exact by now.

    Args:
        source: the name of the export, for the journal.
    """
    settle_one = partial(
        settle_billed,
        where=_uncertain(),
        check_thresholds=check_thresholds,
        source=source,
        now_ms=now_ms,
    )
    if plan.matched:  # one row for all, before the first: the journal has a row of each
        vault.audited(lambda _, record: record("ledger.reconciled", source, {"matched": len(plan.matched)}))
    writes = [vault.store.write(partial(settle_one, found)) for found in plan.matched]
    return sum(write.result() for write in writes)


def settle_billed(
    found: Match,
    database: Database,
    *,
    where: Expression,
    check_thresholds: ThresholdCheck,
    source: str,
    now_ms: int,
) -> bool:
    """Settle an attempt at its bill, inside an operation; return False if it does not meet the condition.

    Args:
        where: the condition that its row must still meet.
    """
    row = find_attempt(database, found.attempt, where)
    if row is None:
        return False
    bill = found.bill
    usage = None
    if bill.prompt is not None and bill.completion is not None:
        usage = Usage(bill.prompt, bill.completion, row.cached, row.cache_write, row.reasoning)
    reason = f"{source}, line {found.line}"
    correction = Correction(found.attempt, found.billed, reason, usage, row.response or bill.id)
    _correct(database, row, correction, check_thresholds, now_ms)
    return True


def find_attempt(database: Database, attempt: str, where: Expression | None = None) -> AttemptRow | None:
    """Return the attempt's row, or None if there is none that meets the condition."""
    query = AttemptRow.select().where(AttemptRow.id == attempt)
    return next(iter((query if where is None else query.where(where)).execute(database)), None)


def write_journal(
    database: Database, event: str, row: AttemptRow, *, before: str, reason: str, now_ms: int
) -> None:
    """Write a change of an attempt's row into the journal.

    Args:
        row: after the change.
        before: the ``journal_text`` before it.
    """
    JournalRow.insert(
        at_ms=now_ms, event=event, attempt=row.id, before=before, after=journal_text(row), reason=reason
    ).execute(database)


def journal_text(row: AttemptRow) -> str:
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


def _check_provider(database: Database, provider: str) -> None:
    names = AttemptRow.select(AttemptRow.provider).distinct().order_by(AttemptRow.provider)
    known = [name for (name,) in names.tuples().execute(database)]
    if provider not in known:
        raise InvalidRequest(
            f"the ledger has no attempt of {provider!r}; it has attempts of: {', '.join(known) or 'none'}"
        )


def _without_rows(
    database: Database, provider: str, bills: Iterable[Bill], unclaimed: Iterable[Bill]
) -> tuple[tuple[str, Bill], ...]:
    """Return the lines that cost something and have no row yet, each with the id of its row.

    The id is a hash of the line's values and of the number of equal lines before it, so that a line has the
    same id in every export.
    """
    equal: Counter[str] = Counter()
    ids = {}
    for bill in bills:
        values = [bill.id] if bill.id else [bill.at_ms, bill.model, bill.prompt, bill.completion, bill.cost]
        text = json.dumps([provider, *values])
        ids[bill.line] = "bill-" + hashlib.sha256(f"{text} {equal[text]}".encode()).hexdigest()[:32]
        equal[text] += 1
    found = [(ids[bill.line], bill) for bill in unclaimed if bill.cost]
    return tuple((id_, bill) for id_, bill in found if find_attempt(database, id_) is None)


def _correct(
    database: Database,
    row: AttemptRow,
    correction: Correction,
    check_thresholds: ThresholdCheck,
    now_ms: int,
) -> None:
    assert row.ended_ms is not None
    kept = Usage(row.prompt, row.completion, row.cached, row.cache_write, row.reasoning)
    end = End(
        "settled",
        correction.cost,
        "exact",
        correction.usage or kept,
        ended_ms=row.ended_ms,  # unchanged; the journal has the time of the correction
        error=row.error,
        response=correction.response,
        saved=row.saved,  # by the rates of its time
    )
    before = journal_text(row)
    opening_balances.count_in_windows(database, row.id)
    hold = Hold(row.id, row.cost, tuple(json.loads(row.windows)))
    with batch_in(database) as batch:
        spent = holds.end_hold(batch, hold, end, was=cast(Outcome, row.state))
    after = find_attempt(database, row.id)
    assert spent is not None  # transactions never overlap: the row is as it was read
    assert after is not None
    check_thresholds(database, spent)
    write_journal(database, EVENT, after, before=before, reason=correction.reason, now_ms=now_ms)


def _uncertain() -> Expression:
    return (AttemptRow.state == "lost") | (
        (AttemptRow.state == "settled") & AttemptRow.basis.not_in(_CERTAIN)
    )


def _candidates(
    database: Database, bills: Sequence[Bill], provider: str, tolerance_ms: int
) -> Iterator[Candidate]:
    """Yield the provider's attempts that a bill names, or that were sent in the export's time."""
    ids = {bill.id for bill in bills} - {None}
    times = [bill.at_ms for bill in bills if bill.at_ms is not None]
    first, last = (min(times) - tolerance_ms, max(times) + tolerance_ms) if times else (0, -1)
    sent = AttemptRow.basis.is_null() | (AttemptRow.basis != "cached")  # a cached answer was not sent
    query = AttemptRow.select().where((AttemptRow.provider == provider) & sent)
    for row in query.iterator(database):
        if row.id in ids or row.response in ids or first <= row.started_ms <= last:
            yield Candidate(
                id=row.id,
                uncertain=row.state == "lost" or (row.state == "settled" and row.basis not in _CERTAIN),
                cost=row.cost,
                model=row.model,
                started_ms=row.started_ms,
                prompt=row.prompt,
                completion=row.completion,
                max_tokens=row.max_tokens,
                response=row.response,
                state=row.state,
            )
