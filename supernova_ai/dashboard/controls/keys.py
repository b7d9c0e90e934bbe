"""Rotate a key, and revoke one in an emergency."""

from __future__ import annotations

from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.control import Control, Done, Plan
from supernova_ai.dashboard.controls.fields import YES, Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys import SLOTS, KeyInfo
from supernova_ai.operations import key_entry, key_rotation
from supernova_ai.operations.key_rotation import Rotation

_GRACES = {"600": "10 minutes", "3600": "1 hour", "86400": "1 day", "604800": "7 days"}
_MOST_IN_KEY = 20_000
"""A key of Google's is a JSON file."""


def _rotate_fields(task: Task) -> list[Field]:
    names = [(name, name) for name in key_entry.owners(task.loaded.config)]
    return [
        Field("provider", "Provider", "choice", choices=names),
        Field("slot", "Slot", "choice", "primary", [(slot, slot) for slot in SLOTS]),
        Field("key", "New key", "secret", most=_MOST_IN_KEY, hint="it is stored encrypted, and never shown"),
        Field("grace", "The key before stays valid for", "choice", "600", list(_GRACES.items())),
        Field("check", "Check the new key with a free request first", "tick", YES, optional=True),
        Field("confirm", "Replace the key now", "tick"),
    ]


def _rotate(task: Task) -> Plan:
    config, provider, slot = task.loaded.config, task.values["provider"], task.values["slot"]
    task.vault.unlock()
    secret = key_entry.as_key(config, provider, task.values["key"])

    def do() -> Done:
        check = bool(task.values["check"]) and key_rotation.can_be_checked(config, provider)
        grace_s = int(task.values["grace"])
        done = key_rotation.rotate(task.vault, config, provider, slot, secret, grace_s=grace_s, check=check)
        return Done(_rotation_lines(done, checked=check))

    return Plan((), do)


def _rotation_lines(done: Rotation, *, checked: bool) -> list[str]:
    new, old = done.active, done.retiring
    lines = [f"{new.place}: version {new.version} is active, fingerprint {new.fingerprint}."]
    if not checked:
        lines.append("It was not checked: watch the page Now during the next calls.")
    if old:
        minutes = f"{done.grace_s / 60:g} minutes"
        lines.append(f"Version {old.version} is retiring: delete it at {new.provider} after {minutes}.")
    return lines


def _revocable(task: Task) -> dict[str, list[KeyInfo]]:
    """Return the versions that can be revoked, by slot and by version."""
    found: dict[str, list[KeyInfo]] = {}
    for key in task.vault.list():
        if key.state not in ("revoked", "failed"):
            found.setdefault(key.place, []).append(key)
            found[f"{key.place}/{key.version}"] = [key]
    return found


def _revoke_fields(task: Task) -> list[Field]:
    found = _revocable(task)
    if not found:
        raise InvalidRequest("the vault has no key that could be revoked")
    choices = [
        (name, f"version {keys[0].version} of {keys[0].place} ({keys[0].state})")
        if name != keys[0].place
        else (name, f"every version of {name}")
        for name, keys in found.items()
    ]
    return [Field("key", "Key", "choice", choices=choices)]


def _revoke(task: Task) -> Plan:
    name = task.values["key"]
    keys = _revocable(task)[name]
    provider, slot, *version = name.split("/")

    def do() -> Done:
        revoked = key_rotation.revoke(
            task.vault, provider, slot, version=int(version[0]) if version else None
        )
        return Done([*map(_revoked, revoked), "Now delete it at the provider too: others may have it."])

    return Plan(
        [f"{_named(key)} is revoked and wiped, for ever." for key in keys],
        do,
        [
            "Calls fail over at once to another key or provider, and fail if there is none.",
            f"It takes {key_rotation.SETTLE_S:g} seconds: then no process can send the key any more.",
        ],
    )


def _named(key: KeyInfo) -> str:
    return f"Version {key.version} of {key.place} ({key.state}, fingerprint {key.fingerprint})"


def _revoked(key: KeyInfo) -> str:
    return f"{key.place} version {key.version} is revoked, fingerprint {key.fingerprint}."


ROTATE = Control(
    name="rotate",
    title="Rotate or add a key",
    button="Replace the key",
    about="The new key is checked and takes over while calls run; the one before stays valid for a while.",
    role=Role.ADMIN,
    page="keys",
    fields=_rotate_fields,
    plan=_rotate,
    asks=False,
)
REVOKE = Control(
    name="revoke",
    title="Revoke a key",
    button="Revoke",
    about="For a key that leaked: no process sends it any more. To replace a key in peace, rotate it.",
    role=Role.ADMIN,
    page="keys",
    fields=_revoke_fields,
    plan=_revoke,
)
