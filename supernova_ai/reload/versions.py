"""Versions: a row for each configuration that was applied, with the text of its files encrypted.

``.env`` is in no version, because it holds keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database, fn

from supernova_ai.alerts.outbox import record_notice
from supernova_ai.audit import current_actor
from supernova_ai.config import Loaded
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.keys import Vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.reload.changes import files_of, settings_of, summary_without_users
from supernova_ai.store import Store
from supernova_ai.store.tables import ConfigVersionRow

Cause = Literal["start", "reload", "watch", "signal", "edit", "set", "apply", "rollback"]
"""Why a configuration was applied. ``edit``: a command found that the files were edited before."""

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Version:
    """A configuration that was applied.

    ``version`` is the hash of its settings, as ``Loaded.version``. ``settings`` are those of ``settings_of``.
    """

    number: int
    at: datetime
    version: str
    content_hash: str
    environment: str
    actor: str
    cause: str
    settings: Mapping[str, Any] = field(repr=False)
    sealed: bytes | None = field(repr=False)


class Versions:
    """The versions in one store.

    Args:
        vault: audits each version, and encrypts its files once the store has a master key.
    """

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    def record(self, loaded: Loaded, cause: Cause, *, reason: str | None = None) -> Version | None:
        """Record a configuration as the next version; None if it equals the latest.

        At a start, files that differ in comments only count as equal: the master key is not asked for.

        Args:
            reason: why a program applied it by itself; its notice is then urgent.

        Raises:
            MasterKeyError: the store has a master key, and it cannot be read.
        """
        settings, files = settings_of(loaded), files_of(loaded)
        content_hash = _hash(settings)
        latest = self._store.read(_latest)
        known = latest is not None and latest.content_hash == content_hash
        has_master = self._vault.has_master()
        if known and latest and (not has_master or not files or (cause == "start" and latest.sealed)):
            return None
        seals = has_master and bool(files)
        if seals:
            self._vault.version_cipher()  # now, because it may ask the keyring

        def change(database: Database, record: Record) -> Version | None:
            cipher = self._vault.version_cipher(database) if seals else None
            before = _latest(database)
            if before and before.content_hash == content_hash and self._has_texts(before, cipher, files):
                return None  # also if another process was first
            number = before.number + 1 if before else 1
            row = ConfigVersionRow(
                number=number,
                at_ms=self._store.now_ms(),
                version=loaded.version,
                content_hash=content_hash,
                environment=loaded.config.environment,
                actor=current_actor().name,
                cause=cause,
                settings=json.dumps(settings, ensure_ascii=False),
                sealed=self._seal(cipher, number, files) if cipher else None,
            )
            row.insert(row.__data__).execute(database)
            version = _version(row)
            changed = summary_without_users(before.settings, settings) if before else "first"
            event = "config.rolled_back" if cause == "rollback" else "config.applied"
            details = {"cause": cause, "hash": loaded.version, "changes": changed}
            record(event, f"version {number}", details | ({"reason": reason} if reason else {}))
            if before and cause != "start":
                why = f" {reason}." if reason else ""
                record_notice(
                    database,
                    "config",
                    f"version {number}",
                    cause,
                    title=f"Configuration: version {number} is in force",
                    text=f"Version {number} is in force ({cause}, by {row.actor}).{why} Changed: {changed}",
                    urgent=reason is not None,
                    now_ms=row.at_ms,
                )
            return version

        return self._vault.audited(change)

    def refused(self, error: Exception, cause: Cause) -> None:
        """Record that an edited configuration was refused, and send a notice once a day for each problem."""
        reason = str(error)
        now_ms = self._store.now_ms()
        day = datetime.fromtimestamp(now_ms / 1000, UTC).date()
        seen = f"{day} {hashlib.sha256(reason.encode()).hexdigest()[:12]}"

        def change(database: Database, record: Record) -> None:
            latest = _latest(database)
            in_force = f"version {latest.number}" if latest else "the configuration before"
            record("config.refused", in_force, {"cause": cause}, reason[:500])
            record_notice(
                database,
                "config",
                "refused",
                seen,
                title="Configuration: an edit was refused",
                text=f"An edit was refused, and {in_force} stays in force: {reason}",
                now_ms=now_ms,
            )

        self._vault.audited(change)

    def check_failed(self, reasons: str) -> None:
        """Send an urgent notice that no provider is well with the latest version, which stays in force."""
        now_ms = self._store.now_ms()

        def notice(database: Database) -> None:
            latest = _latest(database)
            name = f"version {latest.number}" if latest else "the configuration"
            title = f"Configuration: no provider is well with {name}"
            text = f"{title}: {reasons}. `supernova config rollback` takes the version before."
            record_notice(
                database, "config", name, "check", title=title, text=text, urgent=True, now_ms=now_ms
            )

        self._store.write(notice).result()

    def latest(self) -> Version | None:
        """Return the version that was applied last; None if there is none."""
        return self._store.read(_latest)

    def newest(self, count: int) -> list[Version]:
        """Return the newest versions, the latest first."""
        return self._store.read(lambda database: newest(database, count))

    def get(self, number: int) -> Version:
        """Return the version of this number.

        Raises:
            InvalidRequest: there is none.
        """
        query = ConfigVersionRow.select().where(ConfigVersionRow.number == number)
        for row in self._store.read(lambda database: list(query.execute(database))):
            return _version(row)
        latest = self.latest()
        has = f"the latest is {latest.number}" if latest else "none was applied yet"
        raise InvalidRequest(f"there is no version {number} of the configuration: {has}")

    def texts(self, version: Version) -> dict[str, bytes]:
        """Return the files of a version by name; ``BASE`` is the base file.

        Raises:
            ConfigError: it has no files, or they were altered.
            MasterKeyError: the store's master key cannot be read.
        """
        if version.sealed is None:
            raise ConfigError(
                f"version {version.number} has no text: the store had no master key then, or the "
                f"configuration was made in code. `supernova config diff {version.number}` shows its settings"
            )
        try:
            return self._open(self._vault.version_cipher(), version.number, version.sealed)
        except (InvalidTag, ValueError):
            raise ConfigError(
                f"version {version.number} does not open: it was altered, so it cannot be used"
            ) from None

    def _has_texts(self, version: Version, cipher: AESGCM | None, files: Mapping[str, bytes]) -> bool:
        """Say whether the version has these files; without a cipher, nothing is known against it."""
        if cipher is None or version.sealed is None:
            return cipher is None
        try:
            return self._open(cipher, version.number, version.sealed) == files
        except (InvalidTag, ValueError):
            return False

    def _open(self, cipher: AESGCM, number: int, sealed: bytes) -> dict[str, bytes]:
        nonce, sealed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        texts = json.loads(
            zlib.decompress(cipher.decrypt(nonce, sealed, associated_data(self._store.id, number)))
        )
        return {name: text.encode(errors="surrogateescape") for name, text in texts.items()}

    def _seal(self, cipher: AESGCM, number: int, files: Mapping[str, bytes]) -> bytes:
        texts = {name: content.decode(errors="surrogateescape") for name, content in files.items()}
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + cipher.encrypt(
            nonce, zlib.compress(json.dumps(texts).encode()), associated_data(self._store.id, number)
        )


def associated_data(store: str, number: int) -> bytes:
    """Return what the encrypted files of a version are bound to: the store's id and the version's number."""
    return f"supernova-ai config version {store} {number}".encode()


def newest(database: Database, count: int) -> list[Version]:
    """Return the newest versions, the latest first."""
    query = ConfigVersionRow.select().order_by(ConfigVersionRow.number.desc()).limit(count)
    return [_version(row) for row in query.execute(database)]


def prune(database: Database, *, before_ms: int) -> int:
    """Delete the versions applied before then, but never the latest; return how many there were."""
    latest = ConfigVersionRow.select(fn.MAX(ConfigVersionRow.number))
    old = (ConfigVersionRow.at_ms < before_ms) & (ConfigVersionRow.number < latest)
    return int(ConfigVersionRow.delete().where(old).execute(database))


def _hash(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _latest(database: Database) -> Version | None:
    return next(iter(newest(database, 1)), None)


def _version(row: ConfigVersionRow) -> Version:
    return Version(
        number=row.number,
        at=datetime.fromtimestamp(row.at_ms / 1000, UTC),
        version=row.version,
        content_hash=row.content_hash,
        environment=row.environment,
        actor=row.actor,
        cause=row.cause,
        settings=json.loads(row.settings),
        sealed=None if row.sealed is None else bytes(row.sealed),
    )
