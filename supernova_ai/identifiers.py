"""The validation of identifiers: users, sessions, tasks, models and other names in the database."""

from __future__ import annotations

import re
from collections.abc import Mapping

from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest

MAX_LENGTH = 255
"""Characters: two identifiers of this length fit into an index entry of PostgreSQL (2,704 bytes)."""

MAX_TAGS, MAX_LABEL = 8, 64
"""The most tags of a call; and the most characters of a team and of a tag's value."""

_TAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


def identifier(name: str, value: str) -> str:
    """Return the identifier if every database can store and index it.

    Args:
        name: the name of the value in the message.

    Raises:
        InvalidRequest: it is not text, is too long, or has a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {quoted(value)}")
    if len(value) > MAX_LENGTH:
        raise InvalidRequest(f"{name} has {len(value):,} characters; at most {MAX_LENGTH} are allowed")
    return storable(name, value)


def label(name: str, value: str) -> str:
    """Return the name of a team, or the value of a tag, if budgets and reports can use it.

    Raises:
        InvalidRequest: it is no identifier, is empty, or has more than ``MAX_LABEL`` characters.
    """
    if identifier(name, value) == "" or len(value) > MAX_LABEL:
        raise InvalidRequest(f"{name} must have 1 to {MAX_LABEL} characters, not {len(value)}")
    return value


def checked_tags(value: Mapping[str, str] | None) -> dict[str, str]:
    """Return the tags of a call, by name.

    Raises:
        InvalidRequest: there are too many, or a name or a value is not valid.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"tags must be a mapping such as {{'desk': 'fx'}}, not {quoted(value)}")
    if len(value) > MAX_TAGS:
        raise InvalidRequest(f"a call has {len(value)} tags; at most {MAX_TAGS} are allowed")
    return {tag_name(name): label(f"tag {quoted(name)}", text) for name, text in value.items()}


def tag_name(name: str) -> str:
    """Return the name of a tag if it is valid.

    Raises:
        InvalidRequest: it is not 1 to 32 letters, digits, dots, hyphens and underscores.
    """
    if not isinstance(name, str) or not _TAG_NAME.fullmatch(name):
        raise InvalidRequest(
            f"the name of a tag must be 1 to 32 of the letters a to z, digits, '.', '-' and '_', "
            f"and begin with a letter or digit, not {quoted(name)}"
        )
    return name


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
