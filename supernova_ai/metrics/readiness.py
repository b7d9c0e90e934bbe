"""Whether calls can be made: the database is reached, the master key is found, and a provider may be asked.

The reasons are for everybody: they name no address, no key and no provider. The log says more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from peewee import Database

from supernova_ai.config import Config, read_environ
from supernova_ai.errors import MasterKeyError, StoreError
from supernova_ai.health import states
from supernova_ai.keys import Vault, records
from supernova_ai.log import get_logger
from supernova_ai.operations.key_checks import filled_slots
from supernova_ai.operations.provider_states import configured_deployments
from supernova_ai.store import ReadOnlyStore, Store

log = get_logger(__name__)

OK = "ok"


def checks(
    config: Config, store: Callable[[], Store | ReadOnlyStore], vault: Callable[[], Vault] | None
) -> dict[str, str]:
    """Return the result of each check by its name: "ok", or what is wrong. It may wait for the keyring.

    Args:
        config: the configuration in force.
        store: returns the open database.
        vault: returns its vault; without it, the master key is not looked for.
    """
    try:
        opened = store()
        providers = opened.read(partial(_providers, config=config, now_ms=opened.now_ms()))
        master = {"master key": _master(vault())} if vault else {}
    except StoreError as error:
        log.warning("health.database.unusable", reason=str(error))
        return {"database": "it cannot be used"}
    return {"database": OK, **master, "providers": providers}


def _master(vault: Vault) -> str:
    try:
        if vault.has_master():  # else there is no key that it could open
            vault.unlock()
    except MasterKeyError as error:
        log.warning("health.master.missing", reason=str(error))
        return "it is missing, or belongs to another database"
    return OK


def _providers(database: Database, config: Config, now_ms: int) -> str:
    if not config.enabled:
        return "LLM calls are switched off"
    filled = filled_slots(config, records.all_versions(database), read_environ(), now_ms)
    usable = {d for d in configured_deployments(config) if d.slot is None or (d.provider, d.slot) in filled}
    if not usable:
        return "none has a key"
    in_cooldown = {circuit.identity for circuit in states(database) if circuit.at(now_ms) == "open"}
    return OK if usable - in_cooldown else "all are in cooldown"
