"""The master key: where it comes from, and what is derived from it."""

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
from supernova_ai.keys.keychain import ADVICE, Keychain
from supernova_ai.paths import open_regular
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.facts import fact, first_fact

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

VARIABLE = "API_KEY_ENCRYPTION_KEY"
FILE_VARIABLE = "SUPERNOVA_MASTER_KEY_FILE"
CREDENTIAL = "supernova-master"
KEYRING_TIMEOUT = 10.0
"""Seconds: long enough for a person to answer an unlock dialog that is already open."""

_SALT = "master.salt"
_SHORTEST_PASSPHRASE = 32
_WANTED = "32 random bytes as hex (64 characters) or base64 (44 characters); `openssl rand -hex 32` makes one"

# What was removed from the process's environment: the next store that this process opens needs it too.
_taken: Secret | None = None


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What the 32-byte master is for, without the bytes: objects that encrypt and sign but show nothing.

    ``id`` is not secret: it names the master without telling anything of it.
    """

    id: str
    wrapping: AESGCM = field(repr=False)
    audit: hmac.HMAC = field(repr=False)
    fingerprint: hmac.HMAC = field(repr=False)
    sessions: AESGCM = field(repr=False)
    answers: AESGCM = field(repr=False)

    @classmethod
    def of(cls, master: bytes) -> MasterKey:
        """Derive everything from the 32 bytes of a master key.

        Raises:
            MasterKeyError: they are not 32 bytes.
        """
        if len(master) != 32:
            raise MasterKeyError(
                f"a master key is 32 bytes, not {len(master)}: `openssl rand -hex 32` makes one"
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
    """Find the store's master key: the first source that has one decides, and a wrong one is an error.

    Args:
        store: whose keys are meant. Must not be called from inside one of its operations.
        explicit: the master itself; no source is then asked.
        environ: where the variables of the sources are looked up. Once read, ``API_KEY_ENCRYPTION_KEY`` is
            removed from the process's own environment and remembered; the system may still show the one that
            the process was started with.
        backend: the keyring asked last; None takes the one that ``keyring`` chooses.
        create: make a new master in the keyring if no source has one and the store has no key record.
        timeout: seconds to wait for each answer of the keyring.

    Raises:
        MasterKeyError: there is no master, it is kept unsafely, or the store was sealed with another one.
    """
    master = (
        explicit
        or _from_credential(environ)
        or _from_file(environ)
        or _from_variable(store, environ)
        or _from_keychain(store, backend, timeout, create)
    )
    store.read(lambda database: confirm(database, master))
    return master


def confirm(database: Database, master: MasterKey) -> bool:
    """Return whether the store is sealed with this master already, or with none yet.

    Raises:
        MasterKeyError: it is sealed with another one.
    """
    wanted = records.sealed_with(database)
    if wanted not in (None, master.id):
        raise MasterKeyError(
            f"this master key is not the one the store was sealed with (its id is {master.id[:8]}…, and "
            f"{wanted[:8]}… is wanted): give that one, by the same source as before. The sources, in order, "
            f"are $CREDENTIALS_DIRECTORY/{CREDENTIAL}, {FILE_VARIABLE}, {VARIABLE} and the OS keyring"
        )
    return wanted is not None


def _from_credential(environ: Mapping[str, str]) -> MasterKey | None:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder, CREDENTIAL)).exists():
        return None  # the service manager gave this unit other credentials only
    return _read(path, f"the credential {path}")


def _from_file(environ: Mapping[str, str]) -> MasterKey | None:
    name = environ.get(FILE_VARIABLE)
    return _read(Path(name), f"{FILE_VARIABLE} ({name})", private=True) if name else None


def _read(path: Path, source: str, *, private: bool = False) -> MasterKey:
    try:
        with open_regular(path.expanduser()) as file:
            # Of the open file, so that neither a link nor a change in between deceives.
            status = os.fstat(file.fileno())
            if private and os.name == "posix":
                if status.st_uid != os.geteuid():
                    raise MasterKeyError(
                        f"{source} belongs to another user: `chown` it to the one that runs this"
                    )
                if status.st_mode & 0o177:
                    mode = status.st_mode & 0o777
                    raise MasterKeyError(f"{source} has mode {mode:04o}, wider than 0600: `chmod 600` it")
            text = _secret(file.read(1024).decode("latin-1"))
    except OSError as error:
        raise MasterKeyError(f"{source} cannot be read: {error.strerror or error}") from error
    except RuntimeError as error:  # a "~", and no home folder
        raise MasterKeyError(f"{source} cannot be read: {error} Write the path in full") from error
    key = _decoded(text)
    if key is None:
        raise MasterKeyError(f"{source} must hold {_WANTED}")
    return MasterKey.of(key)


def _from_variable(store: Store, environ: Mapping[str, str]) -> MasterKey | None:
    global _taken
    text = _secret(environ.get(VARIABLE, ""))
    _taken = _secret(os.environ.pop(VARIABLE, "")) or _taken
    text = text or _taken
    if text is None:
        return None
    key = _decoded(text)
    if key is not None:
        return MasterKey.of(key)
    if len(text.reveal()) < _SHORTEST_PASSPHRASE:
        raise MasterKeyError(
            f"{VARIABLE} must be {_WANTED}. A passphrase of at least {_SHORTEST_PASSPHRASE} characters will "
            f"do too; this has {len(text.reveal())}"
        )
    return MasterKey.of(_stretch(text, _salt(store)))


def _from_keychain(store: Store, backend: KeyringBackend | None, timeout: float, create: bool) -> MasterKey:
    sealed = store.read(records.sealed_with)
    # A new master would be the wrong one: whoever has sealed keys is not advised to make it.
    advice = _restore(sealed) if sealed else ADVICE
    keychain = Keychain(store.id, backend=backend, timeout=timeout, advice=advice)
    text = keychain.get()
    if text is None:
        # Inside a write transaction: two processes that both find nothing must not both make a master.
        text = store.write(lambda database: _create(database, keychain, create)).result()
    key = _decoded(text)
    if key is None:
        raise MasterKeyError(f"the keyring's entry for this store (user {store.id}) must be {_WANTED}")
    return MasterKey.of(key)


def _create(database: Database, keychain: Keychain, create: bool) -> Secret:
    if (sealed := records.sealed_with(database)) or records.exist(database):
        raise MasterKeyError(
            "the master key is missing: the store holds keys, and the keyring of this user has no entry for "
            f"it. {_restore(sealed)}"
        )
    if not create:
        raise MasterKeyError("there is no master key yet: `supernova keys add` makes one with the first key")
    if (made_meanwhile := keychain.get()) is not None:
        return made_meanwhile
    made = Secret(os.urandom(32).hex())
    keychain.set(made)
    kept = keychain.get()
    if kept is None or kept.reveal() != made.reveal():
        raise MasterKeyError(f"the keyring did not keep the master key it was given. {ADVICE}")
    return made


def _restore(sealed: str | None) -> str:
    master = f"master {sealed[:8]}…" if sealed else "a master"
    return (
        f"The database's keys are sealed with {master}, and no other opens them: restore or unlock the "
        f"keyring, run as the user who added the keys, or give that master by "
        f"$CREDENTIALS_DIRECTORY/{CREDENTIAL}, {FILE_VARIABLE} or {VARIABLE}. If it is lost, so are the "
        f"keys: set 'database' to a new place and add them again"
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
    # The second of the equal costs that OWASP's password storage cheat sheet lists for scrypt: 64 MiB, 0.4 s.
    return Scrypt(salt=salt, length=32, n=2**16, r=8, p=2).derive(
        passphrase.reveal().encode(errors="surrogateescape")
    )


def _salt(store: Store) -> bytes:
    salt = store.read(lambda database: fact(database, _SALT))
    if salt is None:
        made = os.urandom(16).hex()
        salt = store.write(lambda database: first_fact(database, _SALT, made)).result()
    return bytes.fromhex(salt)
