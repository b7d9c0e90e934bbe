"""What was shown to a user and may be confirmed, once and for some minutes."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from supernova_ai.dashboard.controls.control import Answer, Call

VALID_S = 900
"""Seconds for which a confirmation is waited for."""

_MOST = 100


class Confirmations:
    """The calls that wait for a confirmation, each under a token that no one else can guess.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: OrderedDict[str, tuple[float, Call]] = OrderedDict()

    def keep(self, call: Call, answer: Answer) -> str:
        """Keep a call whose plan was answered until it is confirmed; return its token."""
        token = secrets.token_urlsafe(32)
        confirmed = replace(call, step="do", values=answer.values, shown=answer.plan)
        self._waiting[token] = self._clock() + VALID_S, confirmed
        if len(self._waiting) > _MOST:  # the oldest makes room
            self._waiting.popitem(last=False)
        return token

    def take(self, token: str, control: str, user: str) -> Call | None:
        """Return the call that this user confirms, once; None if there is none, or it waited too long."""
        until, call = self._waiting.pop(token, (0.0, None))
        if call is None or until <= self._clock() or (call.control, call.user) != (control, user):
            return None
        return call
