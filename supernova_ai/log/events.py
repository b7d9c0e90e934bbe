"""Structured events on the standard ``logging`` tree under ``supernova_ai``, one line each, without secrets.

No handler is installed: a program that configures ``logging`` sees the events; without configuration Python
shows warnings and errors, as for any library.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from supernova_ai.characters import visible
from supernova_ai.errors import SupernovaError
from supernova_ai.secret import redact

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from supernova_ai.types import Request

ROOT = "supernova_ai"
"""The logger above all of ours."""


current_request: ContextVar[Request | None] = ContextVar("current_request", default=None)
"""The request that this code runs for."""


@contextmanager
def in_request(request: Request) -> Iterator[None]:
    """Add the request's id to every event inside, also of the tasks and threads that are started there.

    An error of ours that leaves the block gets it too, unless it has one.
    """
    token = current_request.set(request)
    try:
        yield
    except SupernovaError as error:
        error.request_id = error.request_id or request.id
        raise
    finally:
        current_request.reset(token)


def _add_request(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request := current_request.get():
        event.setdefault("request", request.id)
    return event


def _clean_values(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {
        name: value
        if value is None or isinstance(value, bool | int | float)
        else clean(value if isinstance(value, str) else repr(value))
        for name, value in event.items()
    }


def clean(text: str) -> str:
    """Return the text without secrets, as one line that cannot control a terminal."""
    return visible(redact(text))


def _render(_: object, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """Return the message, and the event itself for formatters that write it in another way."""
    name = event.pop("event")
    return (as_text(name, event),), {"extra": {"event": name, "fields": dict(event)}}


def as_text(event: str, fields: Mapping[str, Any]) -> str:
    """Return an event as one line."""
    return " ".join([event, *(f"{key}={value}" for key, value in fields.items())])


def get_logger(name: str) -> BoundLogger:
    """Return the logger of a module; events are dotted names with key-values (``ledger.hold.refused``)."""
    return cast("BoundLogger", _LazyLogger(name if name.startswith(ROOT) else f"{ROOT}.{name}"))


class _LazyLogger:
    """Imports structlog with the first event: the import takes longer than many commands."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        return getattr(_bound(self._name), method)


@cache
def _bound(name: str) -> BoundLogger:
    import structlog

    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            _add_request,
            structlog.processors.format_exc_info,
            _clean_values,
            _render,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger
