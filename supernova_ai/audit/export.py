"""Rows of the audit as lines for other programs: JSON, and the Common Event Format (CEF) of SIEM systems."""

from __future__ import annotations

import json
import re

from supernova_ai.audit.chain import AuditEvent
from supernova_ai.characters import escaped, visible

_DONE, _FAILED = 3, 6
"""Severities of CEF, from 0 to 10."""


def to_json(event: AuditEvent) -> str:
    """Return the row as one line of JSON; ``details`` is an object, or its text if it is damaged."""
    try:
        details = json.loads(event.details)
    except ValueError:
        details = event.details
    row = {
        "number": event.number,
        "at": event.at.isoformat(),
        "event": event.event,
        "subject": event.subject,
        "actor": event.actor,
        "source": event.source,
        "outcome": event.outcome,
        "details": details,
    }
    return escaped(json.dumps(row, ensure_ascii=False))


def to_cef(event: AuditEvent, version: str) -> str:
    r"""Return the row as one line of CEF version 0.

    Args:
        version: of this package.

    >>> from datetime import UTC, datetime
    >>> at = datetime.fromtimestamp(1_790_000_000, UTC)
    >>> line = to_cef(AuditEvent(7, at, "key.added", "groq|x=1", "", "ann", "cli", "done"), "1.0")
    >>> print(line.partition("=")[0])
    CEF:0|SuperNova AI|supernova-ai|1.0|key.added|key.added groq\|x
    """
    severity = _DONE if event.outcome in ("done", "") else _FAILED
    header = [
        "CEF:0",
        "SuperNova AI",
        "supernova-ai",
        *(_header(text) for text in (version, event.event, f"{event.event} {event.subject}")),
        str(severity),
    ]
    extension = {
        "externalId": str(event.number),
        "rt": str(int(event.at.timestamp() * 1000)),
        "suser": event.actor,
        "outcome": event.outcome,
        "cs1Label": "source",
        "cs1": event.source,
        "cs2Label": "subject",
        "cs2": event.subject,
        "msg": event.details,
    }
    pairs = " ".join(f"{name}={_value(text)}" for name, text in extension.items() if text)
    return "|".join([*header, pairs])


def _header(text: str) -> str:
    return visible(re.sub(r"([\\|])", r"\\\1", text))


def _value(text: str) -> str:
    lines = re.sub(r"([\\=])", r"\\\1", text).replace("\r", "\\r").replace("\n", "\\n")
    return visible(lines)
