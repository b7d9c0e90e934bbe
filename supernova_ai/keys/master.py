"""The master key: its sources, and the keys derived from it."""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from peewee import Database

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import records
from supernova_ai.keys.crypto import derive
from supernova_ai.keys.keyring_entry import ADVICE, KeyringEntry
from supernova_ai.paths import open_regular
from supernova_ai.secret import Secret
from supernova_ai.store import Store, get_meta, set_meta_default

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

VARIABLE = "API_KEY_ENCRYPTION_KEY"
FILE_VARIABLE = "SUPERNOVA_MASTER_KEY_FILE"
CREDENTIAL = "supernova-master"
KEYRING_TIMEOUT = 10.0
"""Seconds: enough for a person to answer an unlock dialog."""

_SALT = "master.salt"
_SHORTEST_PASSPHRASE = 32
_FORMAT = (
    "32 random bytes as hex (64 characters) or base64 (44 characters); `openssl rand -hex 32` generates them"
)

# The value removed from the process's environment: the next store that this process opens needs it too.
_remembered: Secret | None = None


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The ciphers and signers derived from a 32-byte master key, without the bytes themselves.

    ``id`` is not secret: it names the master and reveals nothing of it.
    """

    id: str
    wrapping: AESGCM = field(repr=False)
    audit: hmac.HMAC = field(repr=False)
    fingerprint: hmac.HMAC = field(repr=False)
    sessions: AESGCM = field(repr=False)
    answers: AESGCM = field(repr=False)

    @classmethod
    def of(cls, master: bytes) -> MasterKey:
        """Derive all keys from the 32 bytes of a master key.

        Raises:
            MasterKeyError: they are not 32 bytes.
        """
        if len(master) != 32:
            raise MasterKeyError(
                f"a master key has 32 bytes, not {len(master)}: `openssl rand -hex 32` generates one"
            )
        return cls(
            id=derive(master, "id")[:16].hex(),
            wrapping=AESGCM(derive(master, "wrapping")),
            audit=hmac.new(derive(master, "audit"), digestmod="sha256"),
            fingerprint=hmac.new(derive(master, "fingerprint"), digestmod="sha256"),
            sessions=AESGCM(derive(master, "sessions")),
            answers=AESGCM(derive(master, "answers")),
        )


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
    master = (
        explicit
        or _from_credential(environ)
        or _from_file(environ)
        or _from_variable(store, environ)
        or _from_keyring(store, backend, timeout, create)
    )
    store.read(lambda database: confirm(database, master))
    return master


def confirm(database: Database, master: MasterKey) -> bool:
    """Return True if the store uses this master, False if it uses none yet.

    Raises:
        MasterKeyError: the store uses another master.
    """
    expected = records.master_id(database)
    if expected not in (None, master.id):
        raise MasterKeyError(
            f"this master key (id {master.id[:8]}…) is not the one the store was sealed with (id "
            f"{expected[:8]}…): provide that one from the same source as before. The sources, in order, are "
            f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}, {FILE_VARIABLE}, {VARIABLE} and the OS keyring"
        )
    return expected is not None


def _from_credential(environ: Mapping[str, str]) -> MasterKey | None:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder, CREDENTIAL)).exists():
        return None  # the folder holds only credentials of other services
    return _read(path, f"the credential {path}")


def _from_file(environ: Mapping[str, str]) -> MasterKey | None:
    name = environ.get(FILE_VARIABLE)
    return _read(Path(name), f"{FILE_VARIABLE} ({name})", private=True) if name else None


def _read(path: Path, source: str, *, private: bool = False) -> MasterKey:
    try:
        with open_regular(path.expanduser()) as file:
            # Of the open file: the path could lead to another file by now.
            status = os.fstat(file.fileno())
            if private and os.name == "posix":
                if status.st_uid != os.geteuid():
                    raise MasterKeyError(
                        f"{source} belongs to another user: `chown` it to the user who runs this process"
                    )
                if status.st_mode & 0o177:
                    mode = status.st_mode & 0o777
                    raise MasterKeyError(f"{source} has mode {mode:04o}, more than 0600: `chmod 600` it")
            text = _secret(file.read(1024).decode("latin-1"))
    except OSError as error:
        raise MasterKeyError(f"{source} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # the path has "~", and there is no home folder
        raise MasterKeyError(f"{source} cannot be read: {error} Write the full path") from error
    key = _decoded(text)
    if key is None:
        raise MasterKeyError(f"{source} must hold {_FORMAT}")
    return MasterKey.of(key)


def _from_variable(store: Store, environ: Mapping[str, str]) -> MasterKey | None:
    global _remembered
    text = _secret(environ.get(VARIABLE, ""))
    _remembered = _secret(os.environ.pop(VARIABLE, "")) or _remembered
    text = text or _remembered
    if text is None:
        return None
    key = _decoded(text)
    if key is not None:
        return MasterKey.of(key)
    if len(text.reveal()) < _SHORTEST_PASSPHRASE:
        raise MasterKeyError(
            f"{VARIABLE} must be {_FORMAT}. A passphrase of at least {_SHORTEST_PASSPHRASE} characters also "
            f"works; this has {len(text.reveal())}"
        )
    return MasterKey.of(_stretch(text, _salt(store)))


def _from_keyring(store: Store, backend: KeyringBackend | None, timeout: float, create: bool) -> MasterKey:
    master_id = store.read(records.master_id)
    # Where keys are stored, the message must not advise to generate a new master: it would be the wrong one.
    advice = _restore_advice(master_id) if master_id else ADVICE
    entry = KeyringEntry(store.id, backend=backend, timeout=timeout, advice=advice)
    text = entry.get()
    if text is None:
        # In a write transaction: two processes that both find no entry must not both create a master.
        text = store.write(lambda database: _create(database, entry, create)).result()
    key = _decoded(text)
    if key is None:
        raise MasterKeyError(f"the keyring's entry for this store (user {store.id}) must be {_FORMAT}")
    return MasterKey.of(key)


def _create(database: Database, entry: KeyringEntry, create: bool) -> Secret:
    if (master_id := records.master_id(database)) or records.any_exist(database):
        raise MasterKeyError(
            "the master key is missing: the store holds keys, and the keyring of this user has no entry for "
            f"it. {_restore_advice(master_id)}"
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


def _restore_advice(master_id: str | None) -> str:
    master = f"master {master_id[:8]}…" if master_id else "a master"
    return (
        f"The database's keys are sealed with {master}, and no other master opens them: restore or unlock "
        f"the keyring, run as the user who added the keys, or provide that master in "
        f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}, {FILE_VARIABLE} or {VARIABLE}. If it is lost, the keys are "
        f"lost too: set 'database' to a new database and add them again"
    )


def _secret(text: str) -> Secret | None:
    return Secret(text.strip()) if text.strip() else None


def _decoded(text: Secret | None) -> bytes | None:
    if text is None:
        return None
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text.reveal()):
        return bytes.fromhex(text.reveal())
    if re.fullmatch(r"[0-9A-Za-z+/_\-]{43}=", text.reveal()):
        return base64.urlsafe_b64decode(text.reveal().replace("+", "-").replace("/", "_"))
    return None


def _stretch(passphrase: Secret, salt: bytes) -> bytes:
    # The second of the equivalent scrypt settings in OWASP's password storage cheat sheet: 64 MiB, 0.4 s.
    return Scrypt(salt=salt, length=32, n=2**16, r=8, p=2).derive(
        passphrase.reveal().encode(errors="surrogateescape")
    )


def _salt(store: Store) -> bytes:
    salt = store.read(lambda database: get_meta(database, _SALT))
    if salt is None:
        made = os.urandom(16).hex()
        salt = store.write(lambda database: set_meta_default(database, _SALT, made)).result()
    return bytes.fromhex(salt)
