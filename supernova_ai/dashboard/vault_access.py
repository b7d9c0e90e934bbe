"""The vault of the database that the dashboard shows, opened for each operation: its pages only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from peewee import Database

from supernova_ai.audit import Details, acting
from supernova_ai.concurrency import in_thread
from supernova_ai.config import read_environ
from supernova_ai.errors import SupernovaError
from supernova_ai.keys import open_vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.log import get_logger
from supernova_ai.secret import Secret
from supernova_ai.store import Store

log = get_logger(__name__)

T = TypeVar("T")


class VaultAccess:
    """Records operations in the audit, and opens secrets. Its methods block, except ``tried``.

    They raise a ``SupernovaError`` if the database cannot be written, or the master key is missing.

    Args:
        database: a path or URL, as for ``Store``.
    """

    def __init__(self, database: str) -> None:
        self._database = database

    def audited(self, change: Callable[[Database, Record], T], *, by: str | None = None) -> T:
        """Make a change that is audited, and return what it returns.

        Args:
            by: the user of the dashboard who does it; None is the user who runs it.
        """
        with acting("dashboard", by), Store(self._database) as store:
            return open_vault(store, environ=read_environ()).audited(change)

    def record(
        self, event: str, subject: str, details: Details, outcome: str = "done", *, by: str | None = None
    ) -> None:
        """Record what happened; ``by`` as in ``audited``."""
        self.audited(lambda _, record: record(event, subject, details, outcome), by=by)

    async def tried(self, write: Callable[[], object]) -> bool:
        """Write what nothing depends on, on a thread; return whether it was written. The log has why not."""
        try:
            await in_thread(write)
        except SupernovaError as error:
            log.warning("dashboard.audit.failed", reason=str(error))
            return False
        return True

    def reveal(self, name: str) -> Secret:
        """Return what is stored in the vault under a name."""
        with Store(self._database) as store:
            return open_vault(store, environ=read_environ()).reveal(name, "primary")

    def check(self) -> None:
        """Check that operations can be recorded."""
        with Store(self._database) as store:
            vault = open_vault(store, environ=read_environ())
            if vault.has_master():
                vault.unlock()


class Unrecorded(VaultAccess):
    """Records no sign-in: the database of the demo is deleted when it ends."""

    def record(self, *_: object, **__: object) -> None:
        """Do nothing."""
