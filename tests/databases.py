"""Empty databases on PostgreSQL: on the server of SUPERNOVA_TEST_POSTGRES, else of this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
import pytest

# Read here: the tests themselves do not see the environment's SUPERNOVA_*.
SERVER = os.environ.get("SUPERNOVA_TEST_POSTGRES", "postgresql://127.0.0.1/test")


@contextmanager
def schema() -> Iterator[str]:
    """Make a schema of a name that no other test or process has, give its URL, and drop it at the end.

    Where there is no server the test is skipped; on a CI machine it fails.
    """
    if absence := _absence():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no PostgreSQL: {absence}")
    name = f"supernova_{secrets.token_hex(8)}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
    try:
        yield f"{SERVER}{'&' if '?' in SERVER else '?'}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(SERVER, autocommit=True) as server:
            server.execute(f"DROP SCHEMA {name} CASCADE")


@cache
def _absence() -> str | None:
    try:
        psycopg.connect(SERVER, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None
