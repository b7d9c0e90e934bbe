"""What a restore would change, and what it did, line by line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from supernova_ai.characters import counted
from supernova_ai.config import Loaded
from supernova_ai.config.fields import mask
from supernova_ai.keys.master_files import FILE_VARIABLE, USUAL_FILE
from supernova_ai.money import show
from supernova_ai.operations.backup.comparison import Comparison, RestorePlace, time_of
from supernova_ai.operations.backup.inspection import Inspection
from supernova_ai.operations.backup.restore import Restored


def preview(changes: Comparison, found: Inspection, place: RestorePlace) -> Iterator[str]:
    """Say what restoring the backup into the place would change."""
    yield f"the backup of {time_of(found)}, into {mask(place.database)}; each pair is now → in the backup"
    yield from _pairs("rows", {name: pair for name, pair in changes.rows.items() if pair[0] != pair[1]})
    yield from _pairs("keys", changes.keys)
    yield from _pairs("settings", changes.settings)
    yield from _pairs("spent", {name: tuple(map(_money, pair)) for name, pair in changes.windows.items()})
    yield from (f"{what} file: {path}" for path, what in changes.files.items())
    yield master_of(found)
    if changes.master_comes_back:
        yield "the master key from before the rotation would be in force again"
    yield f"{changes.loses}: it needs --replace" if changes.loses else "nothing that is there would be lost"


def master_of(found: Inspection) -> str:
    """Say whether the backup has the master key."""
    if found.master:
        return f"its master key opens its keys, {found.opened} in all"
    return "it has no master key" + (": its keys need the one they were sealed with" if found.keys else "")


def restored(done: Restored, place: RestorePlace, loaded: Loaded, into: str | None) -> Iterator[str]:
    """Say what a restore did, what it lost, and what to do next.

    Args:
        loaded: the configuration before.
        into: the option ``--into``.
    """
    yield f"restored the backup of {time_of(done.found)} into {mask(place.database)}"
    yield from (f"wrote {file}" for file in done.files)
    if done.saved:
        yield f"what was there before is in {done.saved}, with the same passphrase"
    yield from _next(done, place, loaded, into)
    yield from _losses(done)
    yield "accept and check it: supernova audit accept --yes && supernova doctor && supernova ledger verify"


def _next(done: Restored, place: RestorePlace, loaded: Loaded, into: str | None) -> Iterator[str]:
    manifest = done.found.manifest
    if done.master and done.master.name != USUAL_FILE:
        yield f"use this master key: export {FILE_VARIABLE}={shlex.quote(str(done.master.absolute()))}"
    elif manifest.master_id:
        yield f"the master key: {done.master_note}"
    to_folder, configured = bool(into and "://" not in into), manifest.settings.get("database")
    if to_folder:
        home, config = (shlex.quote(str(path.absolute())) for path in (place.data, place.config))
        yield f"use the folder: export SUPERNOVA_HOME={home} SUPERNOVA_CONFIG={config}/supernova.yaml"
    as_configured = (
        configured is None if to_folder else configured in (None, loaded.config.shown()["database"])
    )
    if (into and not to_folder) or not as_configured:
        yield f"use the database: set 'database' in the configuration to {mask(place.database)}"


def _losses(done: Restored) -> Iterator[str]:
    later = done.before.later
    if done.before.relation == "empty":
        yield (
            f"budgets do not know what was spent after {time_of(done.found)}: count it with the providers' "
            f"bills and 'supernova ledger reconcile --book'"
        )
    elif later.nano:
        attempts = counted(later.attempts, "attempt")
        yield f"budgets no longer count {show(later.nano)}: the {attempts} after the backup"
    if done.before.master_comes_back:
        yield "the master key from before the rotation is in force again: supernova keys rotate-master"
    for name, (now, then) in done.before.keys.items():
        if now == "revoked" and then not in (None, "revoked"):
            yield f"{name} was revoked after the backup, and is {then} again: revoke it again"


def _pairs(title: str, pairs: Mapping[str, tuple[object, ...]]) -> Iterator[str]:
    for name, (now, then) in pairs.items():
        yield f"{title}: {name}: {_text(now)} → {_text(then)}"


def _text(value: object) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _money(nano: int | None) -> str | None:
    return None if nano is None else show(nano)
