"""Checks of the keys in the vault, and reminders to rotate them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from peewee import Database

from supernova_ai.alerts.outbox import record_notice
from supernova_ai.config import Config
from supernova_ai.errors import KeyCorrupt, KeyNotFound
from supernova_ai.keys import KeyInfo, Vault, lifecycle, records
from supernova_ai.keys.key_info import rotate_command
from supernova_ai.keys.source import variable
from supernova_ai.operations.findings import Finding
from supernova_ai.operations.key_rotation import can_be_checked, check_key
from supernova_ai.store import Store


class KeyCheck(NamedTuple):
    """The result of a check: "ok", the class of the error, or None if the provider has no free endpoint."""

    key: KeyInfo
    result: str | None
    reason: str | None


class Reminder(NamedTuple):
    """What to say of a key at a time. A later one of the same topic replaces an earlier one."""

    at: datetime
    topic: str
    text: str
    urgent: bool


def check_keys(vault: Vault, config: Config, *, everything: bool = False) -> list[KeyCheck]:
    """Check the active keys with free requests, and store the results. Not on an event loop.

    Args:
        everything: also keys in slots that the configuration does not use.

    Raises:
        MasterKeyError: there is no master key, or it is not this store's.
    """
    return [
        _check(vault, config, key)
        for key in vault.list()
        if key.state == "active" and (everything or is_used(config, key))
    ]


def _check(vault: Vault, config: Config, key: KeyInfo) -> KeyCheck:
    if not can_be_checked(config, key.provider):
        return KeyCheck(key, None, f"{key.provider} has no free endpoint that checks a key")
    try:
        failure: Exception | None = check_key(config, key.provider, vault.reveal(key.provider, key.slot))
    except (KeyNotFound, KeyCorrupt) as error:
        failure = error
    result = type(failure).__name__ if failure else "ok"
    lifecycle.note_check(vault, key, result)
    return KeyCheck(key, result, str(failure) if failure else None)


def is_used(config: Config, key: KeyInfo) -> bool:
    """Return whether the configuration has the key's provider and names its slot."""
    provider = config.providers.get(key.provider)
    return provider is not None and key.slot in provider.keys


def filled_slots(
    config: Config, keys: Iterable[KeyInfo], environ: Mapping[str, str], now_ms: int
) -> set[tuple[str, str]]:
    """Return the provider and slot of each key that a call can use, in the vault or the environment."""
    filled = {(key.provider, key.slot) for key in keys if key.is_usable(now_ms)}
    if config.environment_keys_allowed:
        for name, provider in config.providers.items():
            filled |= {(name, slot) for slot in provider.keys if environ.get(variable(name, slot))}
    return filled


def providers_without_key(config: Config, filled: Collection[tuple[str, str]]) -> list[str]:
    """Return the providers that are asked, need a key and have none, in the order they are asked."""
    wanted = {name: config.providers[name].keys for name in config.active_providers}
    return [
        name for name, slots in wanted.items() if slots and not any((name, slot) in filled for slot in slots)
    ]


def findings(
    config: Config, keys: Sequence[KeyInfo], filled: Collection[tuple[str, str]], now_ms: int
) -> Iterator[Finding]:
    """Say which providers have no key, and which keys expire, failed, or should be rotated."""
    missing = providers_without_key(config, filled)
    for name in missing:
        yield Finding("keys", "note", f"{name} has no key, so it is not asked", f"supernova keys add {name}")
    usable = [name for name in config.active_providers if name not in missing]
    if not usable:
        yield Finding("keys", "warning", "no provider can be asked", "supernova keys add openai")
    else:
        yield Finding("keys", "ok", f"usable providers: {', '.join(usable)}")
    for key in in_life(keys):
        rotate = rotate_command(key.provider, key.slot)
        if unfinished := unfinished_rotation(key):
            yield Finding("keys", "warning", unfinished, rotate)
        for reminder in due_reminders(key, config, now_ms):
            yield Finding("keys", "warning" if reminder.urgent else "note", reminder.text, rotate)


def in_life(keys: Sequence[KeyInfo]) -> list[KeyInfo]:
    """Leave out revoked versions, and rotations that failed before a later version came."""
    newest = {key.place: key.version for key in keys}
    return [
        key
        for key in keys
        if key.state != "revoked" and (key.state != "failed" or key.version == newest[key.place])
    ]


def unfinished_rotation(key: KeyInfo) -> str | None:
    """Return what to say of a rotation that failed or did not finish; None of any other version."""
    rotation = f"{key.place}: the rotation to version {key.version}"
    if key.state == "pending":
        return f"{rotation} still runs, or did not finish: the next rotation replaces it"
    return f"{rotation} failed: {key.reason}" if key.state == "failed" else None


def reminders(key: KeyInfo, config: Config) -> Iterator[Reminder]:
    """Yield the reminders of an active key, earlier ones of a topic first."""
    before = config.keys.remind_days
    name = f"The key {key.place} (version {key.version}, fingerprint {key.fingerprint})"
    if config.keys.rotate_after_days is not None and is_used(config, key):
        since = key.activated or key.created
        due = _shifted(since, config.keys.rotate_after_days)
        text = f"{name} has been in use since {since:%Y-%m-%d}, and should be rotated by {due:%Y-%m-%d}"
        yield Reminder(_shifted(due, -before), "rotation", text, urgent=False)
        yield Reminder(due, "rotation", text, urgent=True)
    if key.expires:
        text = f"{name} expires on {key.expires:%Y-%m-%d at %H:%M} UTC, and is not used after that"
        yield Reminder(_shifted(key.expires, -before), "expiry", text, urgent=False)
        yield Reminder(key.expires, "expiry", text, urgent=True)


def _shifted(at: datetime, days: int) -> datetime:
    try:
        return at + timedelta(days=days)
    except OverflowError:  # the record is damaged, and the date at the end of the calendar
        return at


def due_reminders(key: KeyInfo, config: Config, now_ms: int) -> Collection[Reminder]:
    """Return the reminders of a key that are due, the latest of each topic."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    due = [each for each in reminders(key, config) if key.state == "active" and each.at <= now]
    return {each.topic: each for each in due}.values()


def next_reminder(key: KeyInfo, config: Config, now_ms: int) -> datetime | None:
    """Return when the next reminder of the key is due; None if there is none."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    ahead = (each.at for each in reminders(key, config) if key.state == "active" and each.at > now)
    return min(ahead, default=None)


def remind(store: Store, config: Config, now_ms: int) -> int:
    """Record a notice for each active key that is to be rotated or expires; return how many are new."""
    keys = store.read(records.all_versions)
    due = [(key, each) for key in keys for each in due_reminders(key, config, now_ms)]

    def record(database: Database) -> int:
        return sum(
            record_notice(
                database,
                "key",
                key.place,
                f"version {key.version}, {each.topic} {each.at:%Y-%m-%d}",
                title=f"{key.place}: rotate the key",
                text=f"{each.text}: {rotate_command(key.provider, key.slot)}",
                urgent=each.urgent,
                now_ms=now_ms,
            )
            for key, each in due
        )

    return store.write(record).result() if due else 0
