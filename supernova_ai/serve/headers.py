"""Headers that set the user, team and cost limit of a request. Every holder of the token is trusted."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers

from supernova_ai.config.fields import nearest
from supernova_ai.errors import InvalidRequest

PREFIX = "x-supernova-"

OPTIONS = {
    "user": "user_id",
    "team": "team",
    "tags": "tags",
    "session": "session_id",
    "task": "task",
    "tier": "tier",
    "max-cost": "max_cost",
}
"""The option of a call that each header sets, by the header's name without the prefix."""


def options_of(headers: Headers) -> dict[str, Any]:
    """Return the options of the call that the headers set.

    Raises:
        InvalidRequest: one is unknown, empty, given twice, or not UTF-8.
    """
    options: dict[str, Any] = {}
    for name, text in headers.items():
        if not name.startswith(PREFIX):
            continue
        if (option := OPTIONS.get(name.removeprefix(PREFIX))) is None:
            known = [PREFIX + one for one in OPTIONS]
            hint = nearest(name, known) or f" Known are: {', '.join(known)}."
            raise InvalidRequest(f"{name} is not a header of this server.{hint}")
        if option in options:
            raise InvalidRequest(f"{name} is given twice: give one")
        value = _text(name, text)
        options[option] = _tags(name, value) if option == "tags" else value
    return options


def _tags(name: str, text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for part in text.split(","):
        tag, given, value = part.strip().partition("=")
        if not given or tag in tags:
            raise InvalidRequest(f"{name} must be names with one value each, such as desk=fx,book=a")
        tags[tag] = value
    return tags


def _text(name: str, given: str) -> str:
    try:
        text = given.encode("latin-1").decode()  # Starlette reads headers as Latin-1
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} must be in UTF-8") from None
    if not text.strip():
        raise InvalidRequest(f"{name} is empty: leave it out")
    return text
