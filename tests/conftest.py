"""Every test gets a home of its own, and none can reach beyond this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest

# LiteLLM reads these when it is imported: no .env is loaded, no price map is fetched.
os.environ["LITELLM_MODE"] = "PRODUCTION"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

pytest_plugins = ["pytester"]

# Read here: the tests themselves do not see the environment's SUPERNOVA_*.
SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")
SEED = int(os.environ.get("SUPERNOVA_TEST_SEED") or secrets.randbits(32))


def pytest_report_header() -> str:
    return f"random tests: repeat with SUPERNOVA_TEST_SEED={SEED}"


@pytest.fixture
def seed() -> int:
    """What a test's randomness begins with; another one every run, and named at its top."""
    return SEED


@pytest.fixture(autouse=True)
def _isolated(supernova_home: Path, no_real_providers: None) -> None:
    pass


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Make an empty database on either engine, and give its path or URL; all are gone after the test.

    PostgreSQL is that of SUPERNOVA_TEST_POSTGRES, else of this machine; each database is a schema in it.
    """
    with ExitStack() as made:
        if request.param == "sqlite":
            number = count(1)
            yield lambda: str(tmp_path / f"{next(number)}.db")
        elif absence := _absence_of_postgres():
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no PostgreSQL: {absence}")
        else:
            yield lambda: made.enter_context(_schema())


@contextmanager
def _schema() -> Iterator[str]:
    name = f"supernova_{secrets.token_hex(8)}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
    try:
        yield f"{SERVER}{'&' if '?' in SERVER else '?'}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(SERVER, autocommit=True) as server:
            server.execute(f"DROP SCHEMA {name} CASCADE")


@cache
def _absence_of_postgres() -> str | None:
    try:
        psycopg.connect(SERVER, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None
