"""How our own processes write their logs: as JSON or text, to standard error or a file, users hashed."""

from __future__ import annotations

import hmac
import json
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from supernova_ai.characters import escaped
from supernova_ai.errors import ConfigError
from supernova_ai.log.events import ROOT, as_text, clean, current_request

_PERSONAL = frozenset({"user", "user_id", "session", "session_id"})
"""The fields with the id of a person or a conversation."""

_MIN_ID = 4
"""A shorter id is not searched for in other fields: it would match too much."""

_user_key = secrets.token_bytes(32)


def use_user_key(key: bytes) -> None:
    """Hash users with this key from now on, so that all processes of a store write the same hashes.

    Without it, the key is random for each process.
    """
    global _user_key
    _user_key = key


def pseudonym(name: str) -> str:
    """Return the hash that stands in logs for the id of a user or session."""
    return f"h-{hmac.new(_user_key, name.encode(errors='surrogatepass'), 'sha256').hexdigest()[:16]}"


class EventFormatter(logging.Formatter):
    """Writes a record of any logger as one event.

    Args:
        as_json: one JSON object a line, with the time in UTC; otherwise text.
        hash_users: replace the ids of users and sessions by hashes.
    """

    def __init__(self, *, as_json: bool, hash_users: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._hash_users = hash_users

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end."""
        event: str = getattr(record, "event", None) or clean(record.getMessage())
        fields: Mapping[str, Any] = getattr(record, "fields", None) or _foreign_fields(self, record)
        if self._hash_users:
            event, fields = _without_persons(event, fields)
        time = datetime.fromtimestamp(record.created, UTC)
        if not self._as_json:
            line = f"{time:%Y-%m-%d %H:%M:%S} {record.levelname:<7} {as_text(event, fields)}"
            return line.replace("␊", "\n    ") if "exception" in fields else line
        standard = {
            "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": event,
            "logger": record.name,
            "pid": record.process,
        }
        own = {f"{name}_" if name in standard else name: value for name, value in fields.items()}
        return escaped(json.dumps(standard | own, ensure_ascii=False, default=str))


def _foreign_fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    """Return the traceback of a record that another package logged."""
    if not record.exc_info:
        return {}
    return {"exception": clean(formatter.formatException(record.exc_info))}


def _without_persons(event: str, fields: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Replace personal fields, and the ids of the current request wherever they occur."""
    request = current_request.get()
    ids = (
        [name for name in (request.user_id, request.session_id) if name and len(name) >= _MIN_ID]
        if request
        else []
    )
    hide = re.compile("|".join(rf"(?<!\w){re.escape(clean(name))}(?!\w)" for name in ids)) if ids else None

    def hidden(text: str) -> str:
        return hide.sub(lambda found: pseudonym(found[0]), text) if hide else text

    def cleaned(name: str, value: Any) -> Any:
        if name in _PERSONAL and value not in (None, ""):
            return pseudonym(str(value))
        return hidden(value) if isinstance(value, str) else value

    return hidden(event), {name: cleaned(name, value) for name, value in fields.items()}


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what ``sys.stderr`` is at that time, which programs and tests replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(
    *,
    level: str = "info",
    as_json: bool = False,
    hash_users: bool = False,
    file: Path | None = None,
    max_bytes: int = 50 * 2**20,
    keep_days: int = 30,
    terminal: bool = False,
) -> None:
    """Write the events of this process, and the warnings of other packages, from now on.

    A second call replaces the first. Handlers of others stay.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        file: rotated at ``max_bytes`` and each day, and kept for ``keep_days``; None is standard error.
        terminal: a person waits for this command: they see warnings as text, also if there is a file.

    Raises:
        ConfigError: the file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if file:
        handlers.append(_log_file(file, max_bytes, keep_days, tidy=not terminal))
        handlers[0].setFormatter(EventFormatter(as_json=as_json, hash_users=hash_users))
    if terminal or not file:
        shown = _StandardError()
        shown.setFormatter(EventFormatter(as_json=as_json and not terminal, hash_users=hash_users))
        if terminal and level != "debug":
            shown.setLevel(logging.WARNING)
        handlers.append(shown)
    reset()
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    logging.getLogger(ROOT).setLevel(level.upper())


def reset() -> None:
    """Undo ``configure``: this process logs as a program that imports the package."""
    root = logging.getLogger()
    for handler in root.handlers.copy():
        if isinstance(handler.formatter, EventFormatter):
            root.removeHandler(handler)
            handler.close()
    logging.getLogger(ROOT).setLevel(logging.NOTSET)


def _log_file(file: Path, max_bytes: int, keep_days: int, *, tidy: bool) -> logging.Handler:
    try:
        from supernova_ai.log.rotation import LogFile
    except ImportError:  # Windows cannot rename a file that other processes have open
        raise ConfigError("logs.file needs the file locks of Linux or macOS: log to standard error") from None
    opened = LogFile(file, max_bytes=max_bytes, keep_days=keep_days)
    if tidy:
        opened.tidy_in_background()
    return opened
