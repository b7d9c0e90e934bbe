"""Structured events on the standard ``logging`` tree under ``supernova_ai``, one line each, without secrets.

No handler is installed: a program that configures ``logging`` sees the events; without configuration Python
shows warnings and errors, as for any library.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from supernova_ai.characters import visible
from supernova_ai.secret import redact

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

_ROOT = "supernova_ai"


def _clean_values(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {
        name: visible(redact(value if isinstance(value, str) else repr(value)))
        for name, value in event.items()
    }


def _render(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    name = event.pop("event")
    return " ".join([name, *(f"{key}={value}" for key, value in event.items())])


def get_logger(name: str) -> BoundLogger:
    """Return the logger of a module; events are dotted names with key-values (``ledger.hold.refused``)."""
    return cast("BoundLogger", _LazyLogger(name if name.startswith(_ROOT) else f"{_ROOT}.{name}"))


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
        processors=[structlog.stdlib.filter_by_level, _clean_values, _render],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger
