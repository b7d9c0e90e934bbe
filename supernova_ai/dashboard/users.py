"""The users of the dashboard in the database, and what the audit says of each change.

A change of a user's role, password or state raises ``changed_ms``, which ends the user's sessions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from peewee import Database

from supernova_ai.dashboard.access import Role
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.audited_store import Record
from supernova_ai.store.tables import DashboardUserRow

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class User:
    """Who may sign in with a password, of which there is a hash. Times are Unix milliseconds."""

    name: str
    role: Role
    password: str = field(repr=False)
    disabled: bool
    created_ms: int
    changed_ms: int
    locked_until_ms: int | None

    def is_locked(self, now_ms: int) -> bool:
        """Return whether wrong passwords have locked the user for now."""
        return self.locked_until_ms is not None and self.locked_until_ms > now_ms

    def state(self, now_ms: int) -> str:
        """Return ``active``, ``disabled`` or ``locked``."""
        return "disabled" if self.disabled else "locked" if self.is_locked(now_ms) else "active"

    def shown(self, now_ms: int) -> dict[str, Any]:
        """Return what may be shown of the user."""
        return {
            "name": self.name,
            "role": self.role.name.lower(),
            "state": self.state(now_ms),
            "created": _time(self.created_ms),
            "changed": _time(self.changed_ms),
            "locked_until": _time(self.locked_until_ms) if self.is_locked(now_ms) else None,
        }


def every_user(database: Database) -> dict[str, User]:
    """Return the users by name. One whose role or state is damaged is no user."""
    rows = DashboardUserRow.select().order_by(DashboardUserRow.name).execute(database)
    return {
        row.name: _user(row) for row in rows if row.role in _ROLES and row.state in ("active", "disabled")
    }


def find(database: Database, name: str) -> User | None:
    """Return the user of that name."""
    return every_user(database).get(name)


def check_name(name: str) -> None:
    """Check that a user may have this name.

    Raises:
        InvalidRequest: the message says which names are possible.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"the name of a user must be 1 to 64 of the letters a to z, digits, '.', '_', '@' and '-', and "
            f"begin with a letter or digit, not {name!r:.80}"
        )


# --- Changes, each in the transaction of its row in the audit


def add(
    database: Database, record: Record, now_ms: int, *, name: str, role: Role, password_hash: str
) -> None:
    """Add a user.

    Raises:
        InvalidRequest: the name is taken, or not possible.
    """
    check_name(name)
    if find(database, name):
        raise InvalidRequest(
            f"there is a user {name} already: change it with `supernova dashboard users set-password {name}` "
            f"or `supernova dashboard users set-role {name}`"
        )
    given = {"name": name, "role": role.name.lower(), "password": password_hash, "state": "active"}
    DashboardUserRow.insert(given, created_ms=now_ms, changed_ms=now_ms).execute(database)
    record("dashboard.user.added", name, {"role": role.name.lower()})


def set_password(database: Database, record: Record, now_ms: int, *, name: str, password_hash: str) -> None:
    """Replace a user's password; raises as ``remove``."""
    _change(database, now_ms, _must_find(database, name), password=password_hash)
    record("dashboard.user.password.set", name)


def set_role(database: Database, record: Record, now_ms: int, *, name: str, role: Role) -> None:
    """Give a user another role; raises as ``remove``."""
    user = _must_find(database, name)
    _change(database, now_ms, user, role=role.name.lower())
    record("dashboard.user.role.set", name, {"before": user.role.name.lower(), "after": role.name.lower()})


def disable(database: Database, record: Record, now_ms: int, *, name: str) -> None:
    """Let a user sign in no more until ``unlock``; raises as ``remove``."""
    _change(database, now_ms, _must_find(database, name), state="disabled")
    record("dashboard.user.disabled", name)


def unlock(database: Database, record: Record, now_ms: int, *, name: str) -> None:
    """Let a user sign in again who was disabled or locked; raises as ``remove``."""
    before = _must_find(database, name).state(now_ms)
    unlocked = DashboardUserRow.update(state="active", locked_until_ms=None)  # sessions go on
    unlocked.where(DashboardUserRow.name == name).execute(database)
    record("dashboard.user.unlocked", name, {"before": before})


def lock(
    database: Database, record: Record, _: int, *, name: str, until_ms: int, failures: int, address: str
) -> None:
    """Lock a user after so many wrong passwords, the last from this address; the sessions go on."""
    DashboardUserRow.update(locked_until_ms=until_ms).where(DashboardUserRow.name == name).execute(database)
    record("dashboard.user.locked", name, {"failures": failures, "address": address, "until_ms": until_ms})


def remove(database: Database, record: Record, _: int, *, name: str) -> None:
    """Remove a user.

    Raises:
        InvalidRequest: there is no user of that name.
    """
    _must_find(database, name)
    DashboardUserRow.delete().where(DashboardUserRow.name == name).execute(database)
    record("dashboard.user.removed", name)


def _change(database: Database, now_ms: int, user: User, **values: str) -> None:
    # Later than before, also if the clock was set back.
    changed = {**values, "changed_ms": max(now_ms, user.changed_ms + 1)}
    DashboardUserRow.update(changed).where(DashboardUserRow.name == user.name).execute(database)


def _must_find(database: Database, name: str) -> User:
    if (user := find(database, name)) is None:
        raise InvalidRequest(f"there is no user {name!r:.80}: see `supernova dashboard users list`")
    return user


def _time(moment_ms: int | None) -> datetime | None:
    return None if moment_ms is None else datetime.fromtimestamp(moment_ms / 1000, UTC)


def _user(row: DashboardUserRow) -> User:
    return User(
        name=row.name,
        role=_ROLES[row.role],
        password=row.password,
        disabled=row.state == "disabled",
        created_ms=row.created_ms,
        changed_ms=row.changed_ms,
        locked_until_ms=row.locked_until_ms,
    )
