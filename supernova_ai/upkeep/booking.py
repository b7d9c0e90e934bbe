"""Booking: count in the ledger what a provider billed and the ledger does not count.

A released attempt becomes settled at its bill. A line that belongs to no attempt gets a row of its own,
counted in the windows and rollups of the line's time. Each is one transaction, with its entry in the journal.
A line is booked once, because the row's id is made of the line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from peewee import Database

from supernova_ai.audit import Details
from supernova_ai.config import Budget
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.audited_store import AuditedStore
from supernova_ai.ledger import batch_in, holds
from supernova_ai.ledger.budgets import Payer, windows_for
from supernova_ai.ledger.holds import End, Entry
from supernova_ai.ledger.unwritten_ends import ThresholdCheck
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import Usage
from supernova_ai.upkeep import archive, reconcile
from supernova_ai.upkeep.provider_bills import Bill
from supernova_ai.upkeep.reconcile import Plan, find_attempt

EVENT = "attempt.billed"

TASK = "billed"
"""The task and the tier of a row that was made from a bill."""

_NEAR_MS = 3_600_000
"""A line this near to an archived attempt may be its bill."""

_NO_LIMIT = 2**62  # the money is already spent, so no budget may refuse it


def book_lines(
    vault: AuditedStore,
    plan: Plan,
    budgets: Sequence[Budget],
    check_thresholds: ThresholdCheck,
    *,
    provider: str,
    source: str,
    clock: Callable[[], int],
) -> int:
    """Settle the released attempts and insert rows for the unclaimed lines; return how many there were.

    Args:
        budgets: the budgets in force; each that applies to the provider counts the line in the line's period.
        check_thresholds: called with what is spent in the windows afterwards, for alerts.
        source: the name of the export, for the journal.
        clock: Unix milliseconds, the ledger's.

    Raises:
        InvalidRequest: a line has no possible time, or its attempt may be in an archive. Nothing is booked.
    """
    store = vault.store
    store.read(lambda database: _check(database, plan, clock()))
    if plan.released or plan.unclaimed:  # one row for all, before the first: the journal has a row of each
        details: Details = {"provider": provider, "released": len(plan.released), "new": len(plan.unclaimed)}
        vault.audited(lambda _, record: record("ledger.booked", source, details))
    settle_one = partial(
        reconcile.settle_billed,
        where=AttemptRow.state == "released",
        check_thresholds=check_thresholds,
        source=source,
        now_ms=clock(),
    )
    writes = [store.write(partial(settle_one, found)) for found in plan.released]

    def insert_row(id_: str, bill: Bill, database: Database) -> bool:
        if find_attempt(database, id_) is not None:
            return False
        assert bill.at_ms is not None
        now_ms, entry = clock(), _entry(id_, bill, provider)
        windows = windows_for(budgets, now=bill.at_ms / 1000, provider=provider, payer=Payer(), task=TASK)
        unlimited = (replace(window, limit=_NO_LIMIT) for window in windows)
        usage = Usage(bill.prompt or 0, bill.completion or 0)
        end = End("settled", bill.cost, "exact", usage, ended_ms=bill.at_ms, response=bill.id)
        with batch_in(database) as batch:
            hold = holds.insert_hold(batch, entry, unlimited, now_ms=now_ms)
            spent = holds.end_hold(batch, hold, end)
        row = find_attempt(database, id_)
        assert spent is not None  # the hold was inserted in this transaction
        assert row is not None
        check_thresholds(database, spent)
        reason = f"{source}, line {bill.line}"
        reconcile.write_journal(database, EVENT, row, before="{}", reason=reason, now_ms=now_ms)
        return True

    writes += [store.write(partial(insert_row, id_, bill)) for id_, bill in plan.unclaimed]
    return sum(write.result() for write in writes)


def _check(database: Database, plan: Plan, now_ms: int) -> None:
    """Refuse lines that cannot be booked correctly, before anything is booked."""
    manifests = archive.current_archives(database).values()
    for _, bill in plan.unclaimed:
        if bill.at_ms is None:
            raise InvalidRequest(
                f"line {bill.line} has no time, so that no period can count it: map 'time' to its column"
            )
        if not 0 <= bill.at_ms <= now_ms:
            raise InvalidRequest(f"the time of line {bill.line} is in the future or before 1970")
        for manifest in manifests:
            if manifest.first_ms - _NEAR_MS <= bill.at_ms <= manifest.last_ms + _NEAR_MS:
                raise InvalidRequest(
                    f"line {bill.line} may be the bill of an attempt in the archive {manifest.file}: put it "
                    f"back with 'supernova ledger restore', and reconcile again"
                )


def _entry(id_: str, bill: Bill, provider: str) -> Entry:
    assert bill.at_ms is not None
    return Entry(
        id=id_,
        request=id_,
        process="",
        user_id=None,
        session_id=None,
        task=TASK,
        tier=TASK,
        provider=provider,
        model=bill.model or "unknown",
        key_slot=None,
        held_nano=bill.cost,
        started_ms=bill.at_ms,
        prompt_name=None,
        prompt_hash=None,
        config_version="",
        price_version="bill",
    )
