"""The sources of the master key: the first that has one is used, and named in every message."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from peewee import Database

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import records
from supernova_ai.keys.keyring_entry import ADVICE, SERVICE, KeyringEntry
from supernova_ai.keys.master import MasterKey, confirm, first_place
from supernova_ai.keys.master_files import (
    FILE_VARIABLE,
    FORMAT,
    Found,
    Source,
    choose,
    named_file,
    normalized,
    read_file,
    secret,
    unnamed_file,
    usual_file,
)
from supernova_ai.keys.master_history import again_if_rotated, follow, in_force
from supernova_ai.secret import Secret
from supernova_ai.store import Store, get_meta, set_meta_default

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

VARIABLE = "API_KEY_ENCRYPTION_KEY"
CREDENTIAL = "supernova-master"
KEYRING_TIMEOUT = 10.0
"""Seconds: enough for a person to answer an unlock dialog."""

_SALT = "master.salt"
_SHORTEST_PASSPHRASE = 32
# The value removed from the process's environment: the next store that this process opens needs it too.
_remembered: Secret | None = None


def resolve(
    store: Store,
    *,
    explicit: MasterKey | None = None,
    environ: Mapping[str, str] = os.environ,
    backend: KeyringBackend | None = None,
    create: bool = False,
    timeout: float = KEYRING_TIMEOUT,
) -> MasterKey:
    """Return the store's master key from the first source that has one. Do not call it inside an operation.

    Args:
        store: the store whose keys the master encrypts.
        explicit: the master itself; all other sources are then ignored.
        environ: the environment variables to read. ``API_KEY_ENCRYPTION_KEY`` is also removed from the
            process's own environment and remembered; the system may still show its value at process start.
        backend: the keyring, which is the last source; None takes the one that ``keyring`` chooses.
        create: create a master in the keyring if no source has one and the store holds no key record.
        timeout: seconds to wait for each access to the keyring.

    Raises:
        MasterKeyError: no source has a master, its source is unsafe, or the store uses another master.
    """

    def find() -> MasterKey:
        master = explicit or _find(store, environ, backend, timeout, create).master
        return store.read(partial(in_force, master=master, now_ms=store.now_ms()))

    return again_if_rotated(store, find)


def reveal(
    store: Store,
    *,
    environ: Mapping[str, str] = os.environ,
    backend: KeyringBackend | None = None,
    timeout: float = KEYRING_TIMEOUT,
) -> Found:
    """Return the store's master key itself, in hex, and its source. Only a backup and a rotation need it.

    The arguments and errors are those of ``resolve``.
    """
    found = _find(store, environ, backend, timeout, create=False)
    master, following = store.read(partial(follow, master=found.master, now_ms=store.now_ms()))
    store.read(partial(confirm, master=master))
    return found._replace(text=following or found.text)


def _find(
    store: Store, environ: Mapping[str, str], backend: KeyringBackend | None, timeout: float, create: bool
) -> Found:
    expected = store.read(records.master_id)
    variable = _take_variable(environ)  # in any case: child processes must not get it
    return (
        _from_credential(environ)
        or named_file(environ, expected)
        or _from_variable(store, variable)
        or unnamed_file(environ, expected)
        or _from_keyring(store, environ, expected, backend, timeout, create)
    )


def _from_credential(environ: Mapping[str, str]) -> Found | None:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder, CREDENTIAL)).exists():
        return None  # the folder holds only credentials of other services
    return read_file(path, Source("credential", f"the systemd credential {path}"))


def _take_variable(environ: Mapping[str, str]) -> Secret | None:
    global _remembered
    given = secret(environ.get(VARIABLE, ""))
    _remembered = secret(os.environ.pop(VARIABLE, "")) or _remembered
    return given or _remembered


def for_own_process() -> dict[str, str]:
    """Return the variable of the master key if it was removed from the environment, for a process of ours."""
    return {VARIABLE: _remembered.reveal()} if _remembered else {}


def _from_variable(store: Store, text: Secret | None) -> Found | None:
    if text is None:
        return None
    source = Source("environment", VARIABLE)
    key = normalized(text)
    if key is not None:
        return Found(key, source)
    if len(text.reveal()) < _SHORTEST_PASSPHRASE:
        raise MasterKeyError(
            f"{VARIABLE} must be {FORMAT}. A passphrase of at least {_SHORTEST_PASSPHRASE} characters also "
            f"works; this has {len(text.reveal())}"
        )
    return Found(_stretch(text, _salt(store)), source)


def _from_keyring(
    store: Store,
    environ: Mapping[str, str],
    expected: str | None,
    backend: KeyringBackend | None,
    timeout: float,
    create: bool,
) -> Found:
    file = usual_file(environ)
    # Where keys are stored, the message must not advise to generate a new master: it would be the wrong one.
    advice = store.read(partial(_restore_advice, file=file)) if expected else ADVICE
    entry = KeyringEntry(store.id, backend=backend, timeout=timeout, advice=advice)
    following = next_entry(store, backend=backend, timeout=timeout, advice=advice)
    # A rotation puts the next master into its own entry, then in place of the old: hence the second look.
    candidates = (_found(store, one.get()) for one in (entry, following, entry))
    try:
        found = choose(expected, candidates)
    except MasterKeyError as error:
        if expected is None:
            raise
        raise MasterKeyError(f"the master key is missing: no file or variable has it, and {error}") from None
    if found is None:
        # In a write transaction: two processes that both find no entry must not both create a master.
        found = _found(store, store.write(lambda database: _create(database, entry, create, file)).result())
    assert found is not None  # what was created
    return found


def _found(store: Store, text: Secret | None) -> Found | None:
    if text is None:
        return None
    source = Source("keyring", f"the keyring's entry {SERVICE} of user {store.id}")
    key = normalized(text)
    if key is None:
        raise MasterKeyError(f"{source} must be {FORMAT}")
    return Found(key, source)


def next_entry(
    store: Store, *, backend: KeyringBackend | None, timeout: float, advice: str = ADVICE
) -> KeyringEntry:
    """Return the keyring's entry of the next master while it is not in force, or since a moment ago."""
    return KeyringEntry(f"{store.id}.next", backend=backend, timeout=timeout, advice=advice)


def anchor_entry(store: Store, *, backend: KeyringBackend | None, timeout: float) -> KeyringEntry:
    """Return the keyring's entry of the anchor of the store's audit."""
    return KeyringEntry(f"{store.id}.audit", backend=backend, timeout=timeout)


def _create(database: Database, entry: KeyringEntry, create: bool, file: Path) -> Secret:
    if records.master_id(database) or records.any_exist(database):
        raise MasterKeyError(
            "the master key is missing: the store holds keys, and the keyring of this user has no entry for "
            f"it. {_restore_advice(database, file)}"
        )
    if not create:
        raise MasterKeyError(
            "there is no master key yet: `supernova keys add` creates one with the first key"
        )
    if (created_meanwhile := entry.get()) is not None:
        return created_meanwhile
    created = Secret(os.urandom(32).hex())
    entry.set(created)
    stored = entry.get()
    if stored is None or stored.reveal() != created.reveal():
        raise MasterKeyError(f"the keyring did not store the new master key. {ADVICE}")
    return created


def _restore_advice(database: Database, file: Path) -> str:
    master_id = records.master_id(database)
    master = f"master {master_id[:8]}…{first_place(database)}" if master_id else "a master"
    return (
        f"The database's keys are sealed with {master}, and no other master opens them: restore or unlock "
        f"the keyring, run as the user who added the keys, or provide that master in "
        f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}, {FILE_VARIABLE}, {VARIABLE} or {file}"
        f"{', which has another one' if file.exists() else ''}. If it is lost, take it from a backup "
        f"(docs/recovery.md); without one, set 'database' to a new one and add the keys again"
    )


def _stretch(passphrase: Secret, salt: bytes) -> Secret:
    # The second of the equivalent scrypt settings in OWASP's password storage cheat sheet: 64 MiB, 0.4 s.
    derived = Scrypt(salt=salt, length=32, n=2**16, r=8, p=2).derive(
        passphrase.reveal().encode(errors="surrogateescape")
    )
    return Secret(derived.hex())


def _salt(store: Store) -> bytes:
    salt = store.read(lambda database: get_meta(database, _SALT))
    if salt is None:
        made = os.urandom(16).hex()
        salt = store.write(lambda database: set_meta_default(database, _SALT, made)).result()
    return bytes.fromhex(salt)
