"""Who does something, and from where, for the audit."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something: a user of this machine, or of the dashboard; and where, such as ``cli on host``."""

    name: str
    source: str


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def current_actor() -> Actor:
    """Return who acts in this context: as ``acting`` says, or this process's user, in a program."""
    return _acting.get() or Actor(_system_user(), f"program on {socket.gethostname()}")


@contextmanager
def acting(source: str, name: str | None = None) -> Iterator[None]:
    """Audit what happens inside under this source and name.

    Args:
        source: ``cli``, ``run`` or ``dashboard``.
        name: a user of the dashboard; None is this process's user.
    """
    token = _acting.set(Actor(name or _system_user(), f"{source} on {socket.gethostname()}"))
    try:
        yield
    finally:
        _acting.reset(token)


def _system_user() -> str:
    if not hasattr(os, "getuid"):
        return getpass.getuser()
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not the variables LOGNAME and USER, which anybody can set
    except KeyError:
        return f"uid {os.getuid()}"
