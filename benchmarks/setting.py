"""What the benchmarks share: a client with everything on, and a database of a server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg

from supernova_ai.config import Budget
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

MODEL, EMBEDDING, KEY = "gpt-4o-mini", "text-embedding-3-small", "sk-benchmark-0123456789abcdef"
MASTER = MasterKey.of(bytes(32))

LIMIT = Decimal(1_000_000)
BUDGETS = (
    Budget(name="daily", limit=LIMIT, per="day"),
    Budget(name="monthly", limit=LIMIT, per="month"),
    Budget(name="each-user", limit=LIMIT, per="day", user="*"),
    Budget(name="each-team", limit=LIMIT, per="day", team="*"),
)
PAYER: dict[str, Any] = {"user_id": "user-1", "team": "advice"}
"""Who pays for a call: it counts in all four budgets."""

SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")


def plain_litellm() -> Any:
    """Return LiteLLM as its own users have it, without this package's settings, and without the network."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    return litellm


def settings(database: str, url: str) -> dict[str, Any]:
    """Return the settings of a client with everything on: a key of the vault, four budgets, a durable ledger.

    Args:
        database: path or URL.
        url: the address of the provider.
    """
    models = {"standard": MODEL, "embedding": EMBEDDING}
    return {
        "database": database,
        "providers": {"openai": {"api_base": f"{url}/v1", "models": models, "keys": ["primary"]}},
        "routing": {"priority": ["openai"]},
        "budgets": [budget.model_dump(mode="json", exclude_defaults=True) for budget in BUDGETS],
    }


def add_key(database: str) -> None:
    """Make the tables, and store the key of the provider encrypted."""
    with Store(database) as store:
        Vault(store, MASTER).add("openai", "primary", Secret(KEY))


class Server(NamedTuple):
    """A new database of the server; passwords are in the environment of libpq."""

    user: str
    host: str
    port: int
    name: str

    def url(self) -> str:
        """Return its address."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.name}"


def server_version() -> str | None:
    """Return the version of PostgreSQL; None if there is no server."""
    with _connected() as server:
        return server.info.parameter_status("server_version") if server else None


@contextmanager
def new_database() -> Iterator[Server | None]:
    """Yield a new database, which is dropped at the end; None if there is no server."""
    with _connected() as server:
        if not server:
            yield None
            return
        name, info = f"benchmark_{secrets.token_hex(4)}", server.info
        os.environ["PGPASSWORD"] = info.password
        server.execute(b"CREATE DATABASE " + name.encode())
        try:
            yield Server(info.user, info.host, info.port, name)
        finally:
            server.execute(b"DROP DATABASE %b WITH (FORCE)" % name.encode())


@contextmanager
def _connected() -> Iterator[psycopg.Connection | None]:
    try:
        server = psycopg.connect(SERVER, autocommit=True)
    except psycopg.OperationalError:
        yield None
        return
    with server:
        yield server
