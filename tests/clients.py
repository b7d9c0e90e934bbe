"""Clients of tests: their configuration over stub providers, their keys, and the rows they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supernova_ai import Supernova
from supernova_ai.config import Config
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.reports import status
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, WindowRow
from tests import databases

MASTER = MasterKey.of(bytes(32))

_KEYS = {"openai": "sk-{}", "anthropic": "sk-ant-{}", "huggingface": "hf_{}"}
_USUAL: dict[str, dict[str, Any]] = {
    "openai": {"models": {"standard": "gpt-4o-mini"}, "keys": ["primary"]},
    "anthropic": {"models": {"standard": "claude-haiku-4-5"}, "keys": ["primary"]},
    "ollama": {"models": {"standard": "llama3.1"}, "keys": [], "price": "free"},
    "huggingface": {
        "models": {"standard": "meta-llama/llama-3.1-8b-instruct"},
        "keys": ["primary"],
        "prices": {"meta-llama/llama-3.1-8b-instruct": {"input": "0.10", "output": "0.20"}},
    },
}
PROVIDERS = tuple(_USUAL)


def vault_of(store: Store) -> Vault:
    """Return the store's vault under ``MASTER``, which signs the audit of what is done."""
    return Vault(store, MASTER)


def key_of(provider: str, slot: str = "primary") -> str:
    """The key that ``configure`` puts into a provider's slot."""
    return _KEYS.get(provider, "{}").format(f"{provider}{slot}0123456789")


def deployment(nova: Supernova, provider: str, slot: str | None = "primary") -> str:
    """Return the id of a provider's deployment in the tier standard; the client must be open."""
    found = [
        d
        for d in nova._runtime.engine._deployments.values()
        if (d.provider, d.tier) == (provider, "standard")
    ]
    return next(d.id for d in found if d.slot == slot)


def tasks_of(nova: Supernova) -> set[str]:
    """Return the names of the coroutines that run on the client's loop."""
    loop = nova._runtime.engine._background._loop
    running = [task.get_coro() for task in asyncio.all_tasks(loop)]
    # What closes an abandoned generator has no name of its own.
    return {getattr(one, "__qualname__", type(one).__name__) for one in running}


async def let_work(nova: Supernova, turns: int = 20) -> None:
    """Let the client's loop read what has arrived for it: it turns so many times."""

    async def work() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    loop = nova._runtime.engine._background._loop
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))


def configure(
    path: Path | str,
    providers: Mapping[str, str | Mapping[str, Any]],
    *,
    routing: Mapping[str, Any] | None = None,
    budgets: list[dict[str, Any]] | None = None,
    without: tuple[str, ...] = (),
    **settings: Any,
) -> Config:
    """Make a configuration over a database at ``path``, and put the providers' keys into its vault.

    A provider is given by its address, or by settings with the address under ``url``; what they leave out is
    usual: one model and one key, in the tier standard. The slots in ``without`` get no key.
    """
    written = {}
    for name, given in providers.items():
        own = {"url": given} if isinstance(given, str) else dict(given)
        url = own.pop("url") + ("/v1" if name in ("openai", "huggingface") else "")
        written[name] = _USUAL.get(name, {}) | {"api_base": url} | own
    config = Config.model_validate(
        {
            "database": str(path),
            "providers": written,
            "routing": {"priority": list(providers), "retries": 0} | dict(routing or {}),
            "budgets": [{"name": "daily", "limit": 10, "per": "day"}] if budgets is None else budgets,
            **settings,
        }
    )
    if isinstance(path, Path) and path.parent.exists() and not path.exists():
        databases.new_file(path)
    with Store(path) as store:
        vault = Vault(store, MASTER)
        for name, provider in config.providers.items():
            for slot in provider.keys:
                if f"{name}/{slot}" not in without:
                    vault.add(name, slot, Secret(key_of(name, slot)))
    return config


def attempts(path: Path) -> list[AttemptRow]:
    """Read the ledger's rows, oldest first."""
    rows = databases.read(path, lambda database: status.latest_attempts(database, limit=1000))
    return sorted(rows, key=lambda row: (row.started_ms, row.ended_ms or 0))


def window(path: Path, budget: str = "daily") -> WindowRow:
    """Read a budget's window: what is settled, held and lost in it, in nano-USD."""
    query = WindowRow.select().where(WindowRow.budget == budget)
    found = databases.read(path, lambda database: list(query.execute(database)))
    return found[0] if found else WindowRow(settled=0, held=0, lost=0)  # none until money is held
