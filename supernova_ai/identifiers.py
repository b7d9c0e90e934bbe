"""The validation of identifiers: users, sessions, tasks, models and other names in the database."""

from __future__ import annotations

from supernova_ai.errors import InvalidRequest

MAX_LENGTH = 255
"""Characters: two identifiers of this length fit into an index entry of PostgreSQL (2,704 bytes)."""


def identifier(name: str, value: str) -> str:
    """Return the identifier if every database can store and index it.

    Args:
        name: the name of the value in the message.

    Raises:
        InvalidRequest: it is not text, is too long, or has a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {value!r:.60}")
    if len(value) > MAX_LENGTH:
        raise InvalidRequest(f"{name} has {len(value):,} characters; at most {MAX_LENGTH} are allowed")
    return storable(name, value)


def storable(name: str, value: str) -> str:
    """Return the text, of any length, if every database can store it.

    Raises:
        InvalidRequest: it has a NUL or a lone surrogate.
    """
    if "\0" in value:
        raise InvalidRequest(f"{name} has a NUL character, which databases cannot store: remove it")
    return whole(name, value)


def whole(name: str, value: str) -> str:
    """Return the text if it is valid Unicode.

    Raises:
        InvalidRequest: it has a lone surrogate.
    """
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidRequest(f"{name} has a lone surrogate (half a character): remove it")
    return value
