"""The store's master key in this process, also after another process rotated it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from peewee import Database

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import records
from supernova_ai.keys.master import MasterKey, OtherMaster
from supernova_ai.keys.master_history import again_if_rotated, in_force
from supernova_ai.store import Store

T = TypeVar("T")


class CurrentMaster:
    """Finds the master key when it is first needed, and follows it when another process rotated it.

    Args:
        source: the master key, or a function that returns it and may take long.
    """

    def __init__(self, store: Store, source: MasterKey | Callable[[], MasterKey]) -> None:
        self._store = store
        self._source = source
        self._lock = threading.Lock()
        self._latest: MasterKey | None = None
        self._known: dict[str, MasterKey] = {}  # by id: a call may have read its key before a rotation

    def get(self) -> MasterKey:
        """Return the master in force, not inside an operation.

        Raises:
            MasterKeyError: there is no master key, or it is not this store's.
        """
        return self.during(lambda: self._store.read(self.inside))

    def during(self, action: Callable[[], T]) -> T:
        """Return what the action returns, in which ``inside`` is called; it runs again after a rotation.

        Raises:
            MasterKeyError: as ``get``.
        """
        self.unlock()

        def run() -> T:
            try:
                return action()
            except OtherMaster:  # the grace is over, in which a rotation leaves the next master in the store
                with self._lock:
                    self._resolve()
                return action()

        return again_if_rotated(self._store, run)

    def unlock(self) -> MasterKey:
        """Find the master key, and return the one last in force; raises as ``get`` does."""
        with self._lock:
            return self._latest or self._resolve()

    def inside(self, database: Database) -> MasterKey:
        """Return the master that the store uses in this operation; before it, one must have been found.

        Raises:
            MasterKeyError: none was, or the store has another master by now, which must be found again.
        """
        if self._latest is None:
            raise MasterKeyError("the master key was not asked for before this operation")
        expected = records.master_id(database)
        if expected in (None, self._latest.id):
            return self._latest
        return self._confirm(database, self._known.get(expected, self._latest))

    def known(self, master_id: str) -> MasterKey | None:
        """Return the master of that id if this process had it; raises as ``get`` does."""
        self.unlock()
        return self._known.get(master_id)

    def _resolve(self) -> MasterKey:
        def find() -> MasterKey:
            master = self._source if isinstance(self._source, MasterKey) else self._source()
            return self._store.read(partial(self._confirm, master=master))

        return again_if_rotated(self._store, find)

    def _confirm(self, database: Database, master: MasterKey) -> MasterKey:
        self._latest = in_force(database, master, self._store.now_ms())
        self._known |= {master.id: master, self._latest.id: self._latest}
        return self._latest
