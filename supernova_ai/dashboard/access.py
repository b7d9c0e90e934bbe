"""Who may use the dashboard: roles, sessions that the server keeps, and links that sign in once.

A way to sign in ends with ``Access.start``, which returns the value of the session's cookie. Only hashes of
such values are kept, so that the memory of the process has none that could be used.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

SESSION_S = 12 * 3600
"""Seconds after which a session ends."""

_SEEN_EVERY_S = 60
"""When a session was last seen is known to the minute."""

Way = Literal["link", "password", "sso"]
"""How somebody signed in."""


class Role(IntEnum):
    """What a user may do; each role may do all that the ones before it may."""

    VIEWER = 1
    """Look at the pages."""
    OPERATOR = 2
    """Also do what does not change the configuration."""
    ADMIN = 3
    """Everything."""


@dataclass(slots=True, eq=False)
class Session:
    """A user who signed in. ``csrf`` is what each of the session's forms must send.

    ``basis`` is what the sign-in rested on: the session ends when that changes. ``since``, ``seen`` and
    ``until`` are seconds of the clock of ``Access``.
    """

    user: str
    role: Role
    way: Way
    address: str
    basis: object
    since: float
    seen: float
    until: float
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Names the session in forms; it cannot be used to sign in."""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def accepts(self, csrf: object) -> bool:
        """Return whether a form with this value of ``csrf`` is of this session."""
        return isinstance(csrf, str) and compare_digest(csrf.encode(), self.csrf.encode())


class Access:
    """The sessions of one dashboard, and the links that have not been used.

    One thread changes them; any thread may list them.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._links: dict[bytes, tuple[str, Role]] = {}

    def link_token(self, user: str, role: Role) -> str:
        """Return a token for a link that signs this user in, once."""
        token = secrets.token_urlsafe(32)
        self._links[_hash(token)] = (user, role)
        return token

    def redeem(self, token: str) -> tuple[str, Role] | None:
        """Return the user and the role of a link; None if it was used or never made."""
        return self._links.pop(_hash(token), None)

    def start(
        self, user: str, role: Role, way: Way = "link", *, address: str = "", basis: object = None
    ) -> str:
        """Start a session; return the value of its cookie."""
        now = self.clock()
        cookie = secrets.token_urlsafe(32)
        session = Session(user, role, way, address, basis, since=now, seen=now, until=now + SESSION_S)
        self._sessions = {**self._current(), _hash(cookie): session}
        return cookie

    def session(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None if it has ended, or never began."""
        self._sessions = self._current()
        if session := self._sessions.get(_hash(cookie or "")):
            session.seen = max(session.seen, self.clock() // _SEEN_EVERY_S * _SEEN_EVERY_S)
        return session

    def sessions(self) -> list[tuple[Session, float, float]]:
        """Return the sessions, latest first, each with the seconds since it began and since it was seen."""
        now = self.clock()
        latest = sorted(self._current().values(), key=lambda session: session.since, reverse=True)
        return [(session, now - session.since, now - session.seen) for session in latest]

    def end(self, user: str | None = None, *, id_: str | None = None) -> list[Session]:
        """End the session of an id, or all of a user's; return those that were ended."""
        ended = [one for one in self._sessions.values() if user == one.user or id_ == one.id]
        self._sessions = {key: one for key, one in self._sessions.items() if one not in ended}
        return ended

    def _current(self) -> dict[bytes, Session]:
        now = self.clock()
        return {key: session for key, session in self._sessions.items() if session.until > now}


def _hash(value: str) -> bytes:
    return sha256(value.encode(errors="surrogatepass")).digest()
