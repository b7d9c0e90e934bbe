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

SESSION_S = 12 * 3600
"""Seconds after which a session ends."""


class Role(IntEnum):
    """What a user may do; each role may do all that the ones before it may."""

    VIEWER = 1
    """Look at the pages."""
    OPERATOR = 2
    """Also do what does not change the configuration."""
    ADMIN = 3
    """Everything."""


@dataclass(frozen=True, slots=True)
class Session:
    """A user who signed in. ``csrf`` is what each of the session's forms must send."""

    user: str
    role: Role
    csrf: str = field(repr=False)
    until: float

    def accepts(self, csrf: object) -> bool:
        """Return whether a form with this value of ``csrf`` is of this session."""
        return isinstance(csrf, str) and compare_digest(csrf.encode(), self.csrf.encode())


class Access:
    """The sessions of one dashboard, and the links that have not been used. Not for several threads.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._links: dict[bytes, tuple[str, Role]] = {}

    def link_token(self, user: str, role: Role) -> str:
        """Return a token for a link that signs this user in, once."""
        token = secrets.token_urlsafe(32)
        self._links[_hash(token)] = (user, role)
        return token

    def redeem(self, token: str) -> str | None:
        """Start the session of a link; return the value of its cookie, None if it was used or never made."""
        found = self._links.pop(_hash(token), None)
        return self.start(*found) if found else None

    def start(self, user: str, role: Role) -> str:
        """Start a session; return the value of its cookie."""
        self._forget_ended()
        cookie = secrets.token_urlsafe(32)
        until = self._clock() + SESSION_S
        self._sessions[_hash(cookie)] = Session(user, role, secrets.token_urlsafe(32), until)
        return cookie

    def session(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None if it has ended, or never began."""
        self._forget_ended()
        return self._sessions.get(_hash(cookie or ""))

    def end(self, user: str | None = None, *, session: Session | None = None) -> None:
        """End a session, or all of a user's."""
        self._sessions = {
            key: kept for key, kept in self._sessions.items() if kept is not session and kept.user != user
        }

    def _forget_ended(self) -> None:
        now = self._clock()
        self._sessions = {key: session for key, session in self._sessions.items() if session.until > now}


def _hash(value: str) -> bytes:
    return sha256(value.encode(errors="surrogatepass")).digest()
