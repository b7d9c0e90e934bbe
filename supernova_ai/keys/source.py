"""Where an attempt's key comes from: the vault, else (where that is allowed) the environment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.errors import KeyCorrupt, KeyFormatError, KeyNotFound
from supernova_ai.keys import formats, records
from supernova_ai.keys.records import KeyInfo, SealedKey
from supernova_ai.keys.vault import SLOTS, Vault
from supernova_ai.log import get_logger
from supernova_ai.secret import Secret

log = get_logger(__name__)

PROVIDERS = ("openai", "anthropic", "ollama", "huggingface")
"""The providers whose variables are looked for when none are named."""

_VARIABLES = {"huggingface": "HUGGINGFACE_API_TOKEN"}  # all others are <PROVIDER>_API_KEY


def variable(provider: str, slot: str) -> str:
    """Return the name of the environment variable that may hold the slot's key.

    >>> variable("openai", "primary"), variable("huggingface", "backup")
    ('OPENAI_API_KEY', 'HUGGINGFACE_API_TOKEN_BACKUP')
    """
    name = _VARIABLES.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")
    return name if slot == "primary" else f"{name}_{slot.upper()}"


class KeySource:
    """Finds the key of each attempt.

    Args:
        vault: asked first.
        environ: the environment's variables.
        allow_environment: whether a key may come from there.
        environment_name: what this environment is called ("production"), for messages.
        elsewhere: the providers that another server speaks for, with keys of whatever shape; it may be set
            anew.
    """

    def __init__(
        self,
        vault: Vault,
        *,
        environ: Mapping[str, str],
        allow_environment: bool,
        environment_name: str,
        elsewhere: Collection[str] = (),
    ) -> None:
        self._vault = vault
        self._environ = environ
        self._allowed = allow_environment
        self._name = environment_name
        self.elsewhere = elsewhere
        self._warned: set[str] = set()

    def find(self, database: Database, provider: str, slot: str) -> SealedKey | Secret | None:
        """Return the slot's key, or None if there is none; inside the caller's operation on the store.

        Raises:
            KeyNotFound: only the environment has one, and that is not allowed, or it cannot be a key.
        """
        if (sealed := self._vault.find(database, provider, slot)) is not None:
            return sealed
        name = variable(provider, slot)
        if not self._environ.get(name):
            return None
        if not self._allowed:
            raise KeyNotFound(
                f"the vault holds no {slot} key of {provider}, and {name} is set but refused: keys of the "
                f"environment are not used in {self._name}. Move it into the vault with "
                f"`supernova keys import-env`, or set 'keys.allow_environment' to true"
            )
        secret = Secret(self._environ[name])
        try:
            formats.check(provider, secret, elsewhere=provider in self.elsewhere)
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
        """Return what tells the key from a later one in its slot; it is of this process alone."""
        return found.place.key_id if isinstance(found, SealedKey) else f"environment-{hash(found.reveal())}"

    def providers(self, database: Database) -> set[str]:
        """Return the providers that have a key; inside the caller's operation on the store."""
        named = {name for name in PROVIDERS if self._environ.get(variable(name, "primary"))}
        return set(records.providers(database)) | (named if self._allowed else set())

    def open(self, found: SealedKey | Secret) -> Secret:
        """Return the key itself; raises as ``Vault.open`` does, and is no more for inside an operation."""
        return found if isinstance(found, Secret) else self._vault.open(found)

    def answer_cipher(self) -> AESGCM:
        """Return what cached answers are sealed with; raises as ``Vault.answer_cipher`` does."""
        return self._vault.answer_cipher()


def import_environment(
    vault: Vault,
    environ: Mapping[str, str],
    providers: Iterable[str] = PROVIDERS,
    *,
    elsewhere: Collection[str] = (),
) -> tuple[list[KeyInfo], list[str]]:
    """Add the keys that the environment holds to the vault, where it has none.

    Every key is checked before the first is added. The variables stay as they are: nothing here can remove
    them from the file or shell they came from.

    Returns:
        what was added, and the variables whose slot has another key: it may be the newer one, and stays.

    Args:
        elsewhere: as for ``KeySource``.

    Raises:
        KeyFormatError: one is not a key of its provider; none was added.
        MasterKeyError: there is no master key, or it is not this store's.
    """
    places = [(provider, slot, variable(provider, slot)) for provider in providers for slot in SLOTS]
    found = [(*place, Secret(environ[place[2]])) for place in places if environ.get(place[2])]
    for provider, _, name, secret in found:
        try:
            formats.check(provider, secret, elsewhere=provider in elsewhere)
        except KeyFormatError as error:
            raise KeyFormatError(f"{name} cannot be imported, so nothing was: {error}") from None
    added, kept = [], []
    for provider, slot, name, secret in found:
        try:
            if vault.reveal(provider, slot).reveal() != secret.reveal():
                kept.append(name)
        except (KeyNotFound, KeyCorrupt):
            info = vault.add(provider, slot, secret, imported_from=name, elsewhere=provider in elsewhere)
            added.append(info)
    return added, kept
