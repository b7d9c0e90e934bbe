"""The page Keys and configuration: slots, versions of the configuration, jobs and the audit; never a key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from peewee import Database, fn

from supernova_ai.audit.chain import event_names, latest_events
from supernova_ai.config import read_environ
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.keys import records
from supernova_ai.keys.source import variable
from supernova_ai.operations import key_checks
from supernova_ai.operations.jobs.overview import overview
from supernova_ai.reload import versions
from supernova_ai.reload.changes import changes
from supernova_ai.store.tables import AttemptRow

_VERSIONS = 20
_EVENTS = 50
_EDITS = frozenset({"setting", "file", "price", "rollback"})
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def _keys(reading: Reading) -> Mapping[str, Any]:
    config, now_ms = reading.config, reading.now_ms
    every = records.all_versions(reading.database)
    shown = key_checks.in_life(every)
    filled = key_checks.filled_slots(config, every, read_environ(), now_ms)
    in_vault = {(key.provider, key.slot) for key in every if key.is_usable(now_ms)}
    return {
        "rows": [
            {
                "key": key,
                "age": (now_ms - _ms(key.activated or key.created)) // _DAY_MS,
                "expired": key.expires is not None and _ms(key.expires) <= now_ms,
                "used": key_checks.is_used(config, key),
                "due": [each.text for each in key_checks.due_reminders(key, config, now_ms)],
                "reminder": key_checks.next_reminder(key, config, now_ms),
                "unfinished": key_checks.unfinished_rotation(key),
            }
            for key in shown
        ],
        "revoked": len(every) - len(shown),
        "environment": [
            (provider, slot, variable(provider, slot)) for provider, slot in sorted(filled - in_vault)
        ],
        "without": key_checks.providers_without_key(config, filled),
    }


def _versions(reading: Reading) -> Mapping[str, Any]:
    found = versions.newest(reading.database, _VERSIONS + 1)
    before = [*found[1:], None]
    refused = latest_events(reading.database, limit=1, event="config.refused")
    return {
        "rows": [
            (version, changes(last.settings, version.settings) if last else None)
            for version, last in zip(found[:_VERSIONS], before, strict=False)
        ],
        "more": len(found) > _VERSIONS,
        "refused": refused[0] if refused and found and refused[0].at > found[0].at else None,
        "in_use": _in_use(reading.database, reading.now_ms - _HOUR_MS),
        "numbers": {version.version: version.number for version in reversed(found)},
    }


def _in_use(database: Database, since_ms: int) -> list[tuple[str, int]]:
    """Return the configurations of the attempts since then by their hash, the most frequent first."""
    count = fn.COUNT(AttemptRow.id)
    query = AttemptRow.select(AttemptRow.config_version, count).where(AttemptRow.started_ms >= since_ms)
    query = query.group_by(AttemptRow.config_version).order_by(count.desc())
    return list(query.tuples().execute(database))


def _jobs(reading: Reading) -> Mapping[str, Any]:
    return {"found": overview(reading.database, reading.config)}


def _audit(reading: Reading) -> Mapping[str, Any]:
    chosen = reading.chosen
    before = chosen.get("before", "")
    rows = latest_events(
        reading.database,
        limit=_EVENTS + 1,
        before=int(before) if before.isdecimal() and len(before) < 10 else None,
        actor=chosen.get("by"),
        event=chosen.get("event"),
        subject=chosen.get("subject"),
    )
    return {
        "rows": rows[:_EVENTS],
        "more": len(rows) > _EVENTS,
        "names": [(name, name) for name in event_names(reading.database)],
        "by": chosen.get("by", ""),
        "event": chosen.get("event", ""),
        "subject": chosen.get("subject", ""),
        "filtered": bool(chosen),
    }


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


KEYS = Page(
    "keys",
    "Keys and configuration",
    (
        Part("vault", "Keys", _keys, controls=frozenset({"rotate", "revoke"})),
        Part("versions", "Configuration", _versions, controls=_EDITS),
        Part("jobs", "Jobs", _jobs, controls=frozenset({"job"})),
        Part("audit", "Audit", _audit, takes=("by", "event", "subject", "before")),
    ),
    role=Role.OPERATOR,
)
