"""Lockout: after several wrong passwords in a row a user is locked for a while, and an alert is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from peewee import Database
from starlette.background import BackgroundTask

from supernova_ai.alerts.outbox import record_notice
from supernova_ai.dashboard import users
from supernova_ai.dashboard.throttle import Throttle
from supernova_ai.dashboard.users import User
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.keys.audited_store import Record
from supernova_ai.log import get_logger
from supernova_ai.store import ReadOnlyStore

log = get_logger(__name__)

LOCKED_AFTER, LOCKED_S = 10, 15 * 60
"""Wrong passwords in a row that lock a user, and for how many seconds."""


class Lockout:
    """The locks of one dashboard's users.

    Args:
        store: gives the time.
        vault: writes locks, and what is recorded of them.
        throttle: counts the failures.
    """

    def __init__(self, store: ReadOnlyStore, vault: VaultAccess, throttle: Throttle) -> None:
        self._store = store
        self._vault = vault
        self._throttle = throttle
        self._unwritten: dict[
            str, int
        ] = {}  # until when a user is locked whom the database does not lock yet

    def may_sign_in(self, user: User) -> bool:
        """Return whether a user is neither disabled nor locked."""
        now_ms = self._store.now_ms()
        return user.state(now_ms) == "active" and self._unwritten.get(user.name, 0) <= now_ms

    def refused(self, name: str, user: User | None, is_right: bool, address: str) -> BackgroundTask | None:
        """Lock the user if this was one wrong password too many, and return what writes that.

        It is for after the answer, which must not take longer for a user that there is.

        Args:
            name: as it was typed; there may be no such user.
            is_right: the password was right, so the user is disabled or locked.
            address: of the browser.
        """
        log.warning("dashboard.sign_in.refused", name=user.name if user else "unknown", address=address)
        if user and is_right:
            details = {"way": "password", "address": address}
            state = "disabled" if user.disabled else "locked"
            refused = partial(self._vault.record, "dashboard.sign_in.refused", name, details, state, by=name)
            return BackgroundTask(self._vault.tried, refused)
        if self._throttle.failures(name) < LOCKED_AFTER:
            return None
        self._throttle.forget(name)
        if user is None or not self.may_sign_in(user):
            return None
        self._unwritten[name] = self._store.now_ms() + LOCKED_S * 1000
        return BackgroundTask(self._write, name, self._unwritten[name], address)

    async def _write(self, name: str, until_ms: int, address: str) -> None:
        lock = partial(_lock, name=name, until_ms=until_ms, address=address, now_ms=self._store.now_ms())
        if await self._vault.tried(partial(self._vault.audited, lock)):
            self._unwritten.pop(name, None)


def _lock(database: Database, record: Record, *, name: str, until_ms: int, address: str, now_ms: int) -> None:
    """Lock a user, and tell the administrators."""
    until = datetime.fromtimestamp(until_ms / 1000, UTC)
    users.lock(database, record, now_ms, name=name, until_ms=until_ms, failures=LOCKED_AFTER, address=address)
    record_notice(
        database,
        "access",
        name,
        f"locked until {until:%Y-%m-%d %H:%M:%S}",
        title=f"Dashboard: {name} is locked",
        text=f"{LOCKED_AFTER} wrong passwords in a row, the last from {address}: {name} cannot sign in to "
        f"the dashboard until {until:%H:%M} UTC. `supernova dashboard users unlock {name}` ends that. If it "
        f"was not {name}, somebody tries to guess the password.",
        urgent=True,
        now_ms=now_ms,
    )
