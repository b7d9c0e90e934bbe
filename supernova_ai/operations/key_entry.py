"""Keys as people enter them: for whom the vault keeps one, and what the text must be."""

from __future__ import annotations

from supernova_ai.config import Config
from supernova_ai.config.fields import VAULT_PREFIX
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.formats import FIELDS, fields_of, with_fields
from supernova_ai.secret import Secret


def owners(config: Config) -> tuple[str, ...]:
    """Return the names that the vault keeps a key for: providers, and each NAME of a ``vault:NAME``."""
    signs_in = (config.dashboard.oidc.client_secret or "").removeprefix(VAULT_PREFIX)
    return (*config.providers, *_notified(config), *([signs_in] if signs_in else []))


def check_owner(config: Config, name: str) -> None:
    """Check that the configuration has a use for a key of this name.

    Raises:
        InvalidRequest: it has none.
    """
    if name not in (known := owners(config)):
        raise InvalidRequest(
            f"{name!r} is not configured; use one of: {', '.join(known)}, or add it under 'providers'"
        )


def type_of(config: Config, name: str) -> str:
    """Return LiteLLM's name of the provider, or the name itself."""
    return config.type_of(name) if name in config.providers else name


def as_key(config: Config, name: str, text: str) -> Secret:
    """Return what was entered as the key of this name, without fields that such a key does not have.

    Raises:
        InvalidRequest: it is empty, or is no URL where one is needed.
    """
    if not text.strip():
        raise InvalidRequest("the key is empty")
    secret, kind = Secret(text.strip()), type_of(config, name)
    fields = fields_of(secret) if kind in FIELDS else None
    if name in _notified(config) and "://" not in secret.reveal():
        raise InvalidRequest(f"vault:{name} must be an Apprise URL such as mailto://… or slack://…")
    return secret if fields is None else with_fields(kind, fields)


def _notified(config: Config) -> list[str]:
    urls = config.alerts.notify
    return [url.removeprefix(VAULT_PREFIX) for url in urls if url.startswith(VAULT_PREFIX)]
