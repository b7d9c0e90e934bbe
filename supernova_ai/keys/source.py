"""The source of an attempt's key: the vault, or the environment where that is allowed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.errors import KeyCorrupt, KeyFormatError, KeyNotFound
from supernova_ai.keys import records
from supernova_ai.keys.formats import check_key
from supernova_ai.keys.records import KeyInfo, SealedKey
from supernova_ai.keys.vault import SLOTS, Vault
from supernova_ai.log import get_logger
from supernova_ai.secret import Secret

log = get_logger(__name__)

PROVIDERS = ("openai", "anthropic", "ollama", "huggingface")
"""The providers whose variables are read unless others are named."""

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

    Args:
        environ: the environment variables.
        allow_environment: whether a key in the environment may be used.
        environment_name: the configured environment, such as "production", for messages.
        custom_endpoints: the providers with a custom endpoint, whose keys may have any format. The attribute
            of that name may be changed.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        environ: Mapping[str, str],
        allow_environment: bool,
        environment_name: str,
        custom_endpoints: Collection[str] = (),
    ) -> None:
        self._vault = vault
        self._environ = environ
        self._allowed = allow_environment
        self._name = environment_name
        self.custom_endpoints = custom_endpoints
        self._warned: set[str] = set()

    def find(self, database: Database, provider: str, slot: str) -> SealedKey | Secret | None:
        """Return the slot's key, None if it is empty; inside the caller's read or write operation.

        Raises:
            KeyNotFound: only the environment has a key, and it is not allowed or has a wrong format.
        """
        if (sealed := self._vault.find(database, provider, slot)) is not None:
            return sealed
        name = variable(provider, slot)
        if not self._environ.get(name):
            return None
        if not self._allowed:
            raise KeyNotFound(
                f"the vault holds no {slot} key of {provider}, and {name} is not used: environment keys are "
                f"not allowed in {self._name}. Move it into the vault with `supernova keys import-env`, or "
                f"set 'keys.allow_environment' to true"
            )
        secret = Secret(self._environ[name])
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

    def id_of(self, found: SealedKey | Secret) -> str:
        """Return an id that differs from that of the slot's next key; valid in this process only."""
        return found.binding.key_id if isinstance(found, SealedKey) else f"environment-{hash(found.reveal())}"

    def providers(self, database: Database) -> set[str]:
        """Return the providers that have a key; inside the caller's read or write operation."""
        in_vault = set(records.providers(database))
        if not self._allowed:
            return in_vault
        return in_vault | {name for name in PROVIDERS if self._environ.get(variable(name, "primary"))}

    def open(self, found: SealedKey | Secret) -> Secret:
        """Decrypt the key, as ``Vault.open`` does; not inside an operation."""
        return found if isinstance(found, Secret) else self._vault.open(found)

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
    for provider, slot, name, secret in found:
        try:
            if vault.reveal(provider, slot).reveal() != secret.reveal():
                skipped.append(name)
        except (KeyNotFound, KeyCorrupt):
            any_format = provider in custom_endpoints
            added.append(vault.add(provider, slot, secret, imported_from=name, any_format=any_format))
    return added, skipped
