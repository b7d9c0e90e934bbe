"""The time that everybody who shares a database agrees on."""

from __future__ import annotations

import time

from peewee import Database, PostgresqlDatabase


class Clock:
    """Unix seconds: of this machine, or of the server once ``follow`` has asked one.

    A file is shared by the processes of one machine, whose clock they have in common. Machines that share a
    server may disagree, so they follow its clock: between two looks at it they count on with their monotonic
    clock, which nobody sets.
    """

    def __init__(self) -> None:
        self._offset: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    def follow(self, database: Database) -> None:
        """Look at the server's clock; without a server, do nothing."""
        if not isinstance(database, PostgresqlDatabase):
            return
        asked = time.monotonic()
        ((now,),) = database.execute_sql("SELECT extract(epoch FROM clock_timestamp())").fetchall()
        self._offset = float(now) - (asked + time.monotonic()) / 2
