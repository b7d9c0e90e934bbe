"""The leader: of all processes on one database, the one that runs the jobs.

It holds a lease. One statement takes or renews it, by the database's clock: those of the machines do not
matter. A new holder gets a higher number, the fence. Each write of a job first checks, in its transaction,
that its fence is still the current one. So a leader that was stalled and replaced writes nothing.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database

from supernova_ai.store import Store
from supernova_ai.store.bulk import run
from supernova_ai.store.engines import clock_ms
from supernova_ai.store.tables import LeaderRow

TERM_S = 30.0
"""How long a lease lasts, in seconds. It is renewed three times as often."""

_ROLE = "jobs"


class LeaseLost(Exception):
    """Another process leads by now: nothing was written."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A lease that this process has, and the database's time when it was renewed (Unix milliseconds)."""

    fence: int
    now_ms: int

    def check(self, database: Database) -> None:
        """Check, inside a write, that nobody else has led since.

        Raises:
            LeaseLost: somebody has.
        """
        current = "SELECT 1 FROM leader WHERE role = ? AND fence = ?"
        if run(database, current, _ROLE, self.fence).fetchone() is None:
            raise LeaseLost("another process leads by now")


class Leader:
    """This process's claim to lead.

    Args:
        term_s: how long the lease lasts without being renewed.
    """

    def __init__(self, store: Store, *, term_s: float = TERM_S) -> None:
        self._store = store
        self._term_ms = round(term_s * 1000)
        self.holder = f"{socket.gethostname()}, process {os.getpid()} ({uuid.uuid4().hex[:8]})"

    def claim(self) -> Lead | None:
        """Take or renew the lease; return None if another process has it.

        Raises:
            StoreError: the database cannot be used.
        """
        return self._store.write(self._claim).result()

    def release(self) -> None:
        """End the lease, so that another process can lead at once.

        Raises:
            StoreError: the database cannot be used. The lease runs out.
        """
        mine = (LeaderRow.role == _ROLE) & (LeaderRow.holder == self.holder)
        self._store.write(
            lambda database: LeaderRow.update(until_ms=0).where(mine).execute(database)
        ).result()

    def _claim(self, database: Database) -> Lead | None:
        now = clock_ms(database)
        claim = f"""
            INSERT INTO leader (role, holder, fence, until_ms) VALUES (?, ?, 1, {now} + ?)
            ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms,
                fence = leader.fence + CASE WHEN leader.holder = excluded.holder THEN 0 ELSE 1 END
                WHERE leader.holder = excluded.holder OR leader.until_ms < {now}
            RETURNING fence, {now}"""  # noqa: S608 - no value of a user
        row = run(database, claim, _ROLE, self.holder, self._term_ms).fetchone()
        return None if row is None else Lead(*row)


class Holder(NamedTuple):
    """Who leads, for people to read, and the fence."""

    name: str
    fence: int


def current_holder(database: Database) -> Holder | None:
    """Return who leads now, None if nobody does."""
    select = f"SELECT holder, fence FROM leader WHERE role = ? AND until_ms >= {clock_ms(database)}"  # noqa: S608
    row = run(database, select, _ROLE).fetchone()
    return None if row is None else Holder(*row)
