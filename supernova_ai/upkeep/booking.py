"""Booking: take into the ledger what a provider billed and the ledger does not count.

An attempt that was released becomes settled at its bill. A line that belongs to no attempt gets a row of its
own, in the windows and rollups of its own time. Each is one transaction, with its note in the journal, and
happens once: the row's id is made of the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.errors import InvalidRequest
from supernova_ai.ledger import holds
from supernova_ai.ledger.budgets import shares
from supernova_ai.ledger.holds import End, Entry
from supernova_ai.ledger.unwritten_ends import Look
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, JournalRow
from supernova_ai.types import Usage
from supernova_ai.upkeep import archive, reconcile
from supernova_ai.upkeep.provider_bills import Bill
from supernova_ai.upkeep.reconcile import Plan

EVENT = "attempt.billed"

TASK = "billed"
"""The task of a row that was made of a bill; also its tier, because nobody asked for any."""

_NEAR_MS = 3_600_000
"""A line so near to an archived attempt may be its bill."""

_NO_LIMIT = 2**62  # the money is spent: no budget can refuse it


def book(
    store: Store,
    plan: Plan,
    budgets: Sequence[Budget],
    look: Look,
    *,
    provider: str,
    source: str,
    now_ms: int,
) -> int:
    """Settle the released attempts and make rows of the unclaimed lines; return how many there were.

    Args:
        budgets: those in force; each that bears on the provider counts the line in the period of its time.
        look: is shown how the windows stand afterwards, for alerts.
        source: the name of the export, for the journal.

    Raises:
        InvalidRequest: a line has no time that can be, or its attempt may be in an archive. Nothing is
            booked.
    """
    store.read(lambda database: _check(database, plan, now_ms))
    settle_one = partial(
        reconcile.settle_billed,
        where=AttemptRow.state == "released",
        look=look,
        source=source,
        now_ms=now_ms,
    )
    writes = [store.write(partial(settle_one, found)) for found in plan.released]

    def make_row(id_: str, bill: Bill, database: Database) -> bool:
        if _row(database, id_) is not None:
            return False
        assert bill.at_ms is not None
        entry = _entry(id_, bill, provider)
        bearing = shares(budgets, now=bill.at_ms / 1000, provider=provider, user=None, task=TASK)
        hold = holds.place(database, entry, (replace(share, limit=_NO_LIMIT) for share in bearing))
        usage = Usage(bill.prompt or 0, bill.completion or 0)
        end = End("settled", bill.cost, "exact", usage, ended_ms=bill.at_ms, response=bill.id)
        windows = holds.end(database, hold, end)
        row = _row(database, id_)
        assert windows is not None  # it was placed in this transaction
        assert row is not None
        look(database, windows)
        reason = f"{source}, line {bill.line}"
        JournalRow.insert(
            at_ms=now_ms, event=EVENT, attempt=id_, before="{}", after=reconcile.told(row), reason=reason
        ).execute(database)
        return True

    writes += [store.write(partial(make_row, id_, bill)) for id_, bill in plan.unclaimed]
    return sum(write.result() for write in writes)


def _check(database: Database, plan: Plan, now_ms: int) -> None:
    """Refuse what nobody can book rightly, before anything is booked."""
    kept = archive.archives(database).values()
    for _, bill in plan.unclaimed:
        if bill.at_ms is None:
            raise InvalidRequest(
                f"line {bill.line} has no time, so that no period can count it: map 'time' to its column"
            )
        if not 0 <= bill.at_ms <= now_ms:
            raise InvalidRequest(f"the time of line {bill.line} is in the future or before 1970")
        for manifest in kept:
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


def _row(database: Database, id_: str) -> AttemptRow | None:
    return next(iter(AttemptRow.select().where(AttemptRow.id == id_).execute(database)), None)
