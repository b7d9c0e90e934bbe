"""The one rule for names and ids in the database: of users, sessions, tasks, models and the like."""

from __future__ import annotations

from supernova_ai.errors import InvalidRequest

MOST = 255
"""The most characters: an entry of a PostgreSQL index takes 2,704 bytes, and two ids of this length fit."""


def identifier(name: str, value: str) -> str:
    """Return the identifier if every database can keep and index it.

    Args:
        name: what it is, for the message.

    Raises:
        InvalidRequest: it is no text, is longer than ``MOST`` characters, or has a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {value!r:.60}")
    if len(value) > MOST:
        raise InvalidRequest(f"{name} has {len(value):,} characters; at most {MOST} are allowed")
    return storable(name, value)


def storable(name: str, value: str) -> str:
    """Return the text, of any length, if every database can keep it.

    Raises:
        InvalidRequest: it has a NUL or a lone surrogate.
    """
    if "\0" in value:
        raise InvalidRequest(f"{name} has a NUL character, which no database keeps: remove it")
    return whole(name, value)


def whole(name: str, value: str) -> str:
    """Return the text if it consists of whole characters.

    Raises:
        InvalidRequest: it has a lone surrogate.
    """
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidRequest(f"{name} holds half a character (a lone surrogate) and cannot be sent as text")
    return value
