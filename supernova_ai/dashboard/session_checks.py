"""Whether a session is still valid: what its sign-in rested on is looked at, at most once a second."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Session
from supernova_ai.dashboard.users import User
from supernova_ai.store import ReadOnlyStore

READ_EVERY_S = 1.0


class SessionChecks:
    """Checks the sessions of one dashboard.

    Args:
        store: has the users.
        config: returns the configuration in force.
        clock: seconds.
    """

    def __init__(
        self, store: ReadOnlyStore, config: Callable[[], Config], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._users: Mapping[str, User] = {}
        self._read = -math.inf
        self._reading = asyncio.Lock()

    async def is_valid(self, session: Session) -> bool:
        """Return whether the user, or the settings of single sign-on, are as they were.

        Raises:
            StoreError: the users cannot be read.
        """
        if session.way == "password":
            user = (await self.users()).get(session.user)
            return user is not None and not user.disabled and user.changed_ms == session.basis
        return session.way == "link" or self._config().dashboard.oidc == session.basis

    async def users(self) -> Mapping[str, User]:
        """Return the users as they were at most a second ago; raises as ``is_valid``."""
        async with self._reading:
            if self._clock() - self._read >= READ_EVERY_S:
                self._users = await in_thread(self._store.read, users.every_user)
                self._read = self._clock()
            return self._users
