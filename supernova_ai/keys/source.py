"""The source of an attempt's key: the vault, or the environment where that is allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.errors import KeyCorrupt, KeyFormatError, KeyNotFound, StoreError
from supernova_ai.keys import records
from supernova_ai.keys.formats import check_key
from supernova_ai.keys.key_info import BY_HAND, KeyInfo
from supernova_ai.keys.records import SealedKey
from supernova_ai.keys.vault import SLOTS, Vault
from supernova_ai.log import get_logger
from supernova_ai.secret import Secret
from supernova_ai.store.bulk import Statement
from supernova_ai.store.engines import Selects

log = get_logger(__name__)

PROVIDERS = ("openai", "anthropic", "ollama", "huggingface")
"""The providers whose variables are read unless others are named."""

FRESH_S = 1.0
"""How old a key may be when it is sent, in seconds since it was read: then it is read again. ``revoke`` waits
longer than this, so that no request is sent with the key once it returns."""

_USE_NOTED_S = 60.0
"""The last use of a key is written at most once in so many seconds."""

_VARIABLES = {"huggingface": "HUGGINGFACE_API_TOKEN"}  # all others are <PROVIDER>_API_KEY


def variable(provider: str, slot: str) -> str:
    """Return the name of the environment variable for the slot's key.

    >>> variable("openai", "primary"), variable("huggingface", "backup")
    ('OPENAI_API_KEY', 'HUGGINGFACE_API_TOKEN_BACKUP')
    """
    name = _VARIABLES.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")
    return name if slot == "primary" else f"{name}_{slot.upper()}"


class KeySource:
    """Finds the key of each attempt: in the vault first, then in the environment.

    The attributes ``environ``, ``allow_environment`` and ``custom_endpoints`` may be changed.

    Args:
        environ: the environment variables.
        allow_environment: whether a key in the environment may be used.
        environment_name: the configured environment, such as "production", for messages.
        custom_endpoints: the providers with a custom endpoint, whose keys may have any format.
        timer: seconds, monotonic.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        environ: Mapping[str, str],
        allow_environment: bool,
        environment_name: str,
        custom_endpoints: Collection[str] = (),
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vault = vault
        self.environ = environ
        self.allow_environment = allow_environment
        self._name = environment_name
        self.custom_endpoints = custom_endpoints
        self._timer = timer
        self._warned: set[str] = set()
        self._use_noted_s: dict[str, float] = {}

    def find(self, database: Database | Selects, provider: str, slot: str) -> SealedKey | Secret | None:
        """Return the slot's key, None if it is empty; inside the caller's read or write operation.

        Raises:
            KeyNotFound: the key has expired; or only the environment has one, and it is not allowed, has a
                wrong format, or may be one that was revoked.
        """
        if (sealed := self._vault.find(database, provider, slot)) is not None:
            return sealed
        name = variable(provider, slot)
        if not self.environ.get(name):
            return None
        if records.was_revoked(database, provider, slot):
            raise KeyNotFound(
                f"the {slot} key of {provider} was revoked, and {name} is not used instead: it may be the "
                f"same. Store a new one with `supernova keys add {provider} --slot {slot}`"
            )
        if not self.allow_environment:
            raise KeyNotFound(
                f"the vault holds no {slot} key of {provider}, and {name} is not used: environment keys are "
                f"not allowed in {self._name}. Move it into the vault with `supernova keys import-env`"
            )
        secret = Secret(self.environ[name])
        try:
            check_key(provider, secret, any_format=provider in self.custom_endpoints)
        except KeyFormatError as error:
            raise KeyNotFound(f"{name} is not used: {error}") from None
        if provider not in self._warned:
            self._warned.add(provider)
            log.warning(
                "keys.environment.used",
                provider=provider,
                variable=name,
                remedy="move it into the vault: supernova keys import-env",
            )
        return secret

    def select(self, provider: str, slot: str) -> Statement:
        """Return the SELECT with which ``find`` begins."""
        return records.FIND, (provider, slot)

    def id_of(self, found: SealedKey | Secret) -> str:
        """Return an id that differs from that of the slot's next key; valid in this process only."""
        return found.binding.key_id if isinstance(found, SealedKey) else f"environment-{hash(found.reveal())}"

    def providers(self, database: Database | Selects) -> set[str]:
        """Return the providers that have a key; inside the caller's read or write operation."""
        in_vault = set(records.providers(database))
        if not self.allow_environment:
            return in_vault
        return in_vault | {name for name in PROVIDERS if self.environ.get(variable(name, "primary"))}

    def open(self, found: SealedKey | Secret) -> Secret:
        """Decrypt the key, as ``Vault.open`` does; not inside an operation."""
        return found if isinstance(found, Secret) else self._vault.open(found)

    async def may_be_sent(self, found: SealedKey | Secret) -> bool:
        """Return whether the key may be sent at once; one that was read a while ago may be revoked by now."""
        if isinstance(found, Secret):
            return True
        read_s = found.read_s
        while self._timer() - read_s > FRESH_S:
            read_s = self._timer()
            try:
                if not await asyncio.to_thread(self._vault.may_be_sent, found):
                    return False
            except StoreError:
                return False
        return True

    def note_use(self, found: SealedKey | Secret) -> None:
        """Note in the store that the key is used, now and then; this never waits."""
        if isinstance(found, Secret):
            return
        now_s, key_id = self._timer(), found.binding.key_id
        if now_s - self._use_noted_s.get(key_id, -_USE_NOTED_S) >= _USE_NOTED_S:
            self._use_noted_s[key_id] = now_s
            with suppress(StoreError):  # it is closed
                self._vault.note_use(found)

    def answer_cipher(self) -> AESGCM:
        """Return the cipher of cached answers, as ``Vault.answer_cipher`` does."""
        return self._vault.answer_cipher()


def import_environment(
    vault: Vault,
    environ: Mapping[str, str],
    providers: Iterable[str] = PROVIDERS,
    *,
    custom_endpoints: Collection[str] = (),
) -> tuple[list[KeyInfo], list[str]]:
    """Add keys from the environment to the empty slots of the vault; the variables stay set.

    Every key is checked before the first is added.

    Args:
        custom_endpoints: as for ``KeySource``.

    Returns:
        The keys added, and the variables that were skipped because their slot holds another key, which may be
        the newer one.

    Raises:
        KeyFormatError: one is not a key of its provider; none was added.
        MasterKeyError: there is no master key, or it is not this store's.
    """
    found = [
        (provider, slot, name, Secret(environ[name]))
        for provider in providers
        for slot in SLOTS
        if environ.get(name := variable(provider, slot))
    ]
    for provider, _, name, secret in found:
        try:
            check_key(provider, secret, any_format=provider in custom_endpoints)
        except KeyFormatError as error:
            raise KeyFormatError(f"{name} cannot be imported, so no key was imported: {error}") from None
    added, skipped = [], []
    # Slots whose key has expired or leaked: the variable may hold that key.
    closed = {
        (key.provider, key.slot) for key in vault.list() if key.state == "active" or key.reason == BY_HAND
    }
    for provider, slot, name, secret in found:
        try:
            if vault.reveal(provider, slot).reveal() != secret.reveal():
                skipped.append(name)
        except (KeyNotFound, KeyCorrupt) as error:
            if isinstance(error, KeyNotFound) and (provider, slot) in closed:
                skipped.append(name)
                continue
            any_format = provider in custom_endpoints
            added.append(vault.add(provider, slot, secret, imported_from=name, any_format=any_format))
    return added, skipped
