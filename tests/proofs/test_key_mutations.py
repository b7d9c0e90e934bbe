"""300 random changes to the records of keys: no wrong key, only errors of ours, and each can be mended."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supernova_ai.config import Config
from supernova_ai.errors import SupernovaError
from supernova_ai.keys import MasterKey, Vault, lifecycle
from supernova_ai.operations import key_checks, key_rotation
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import KeyRow
from supernova_ai.terminal import inventory_tables
from tests.databases import new_file

pytestmark = pytest.mark.proof

MASTER = MasterKey.of(bytes(32))
RETIRING, ACTIVE, REFUSED, PENDING, BACKUP, NEXT, LAST = (f"sk-number-0000000{n}" for n in range(7))
COLUMNS = tuple(KeyRow._meta.columns)
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.binary(max_size=200),
    st.sampled_from(
        ["active", "pending", "retiring", "revoked", "failed", "backup", "primary", 1, 2, 5, b"\xff"]
    ),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a version in each state, whose columns take every value."""
    path = new_file(tmp_path_factory.mktemp("keys") / "original.db")
    with Store(path) as store:
        vault = Vault(store, MASTER)
        vault.add("openai", "primary", Secret(RETIRING))
        key_rotation.rotate(vault, Config(), "openai", "primary", Secret(ACTIVE), check=False)
        refused = lifecycle.start_rotation(vault, "openai", "primary", Secret(REFUSED))
        lifecycle.fail_rotation(vault, refused, "openai refused the key")
        lifecycle.start_rotation(vault, "openai", "primary", Secret(PENDING))
        vault.add("openai", "backup", Secret(BACKUP))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            f"CREATE TABLE loose ({', '.join(COLUMNS)});"
            f"INSERT INTO loose SELECT {', '.join(COLUMNS)} FROM api_key;"
            "DROP TABLE api_key; ALTER TABLE loose RENAME TO api_key"
        )
    return path


CHANGES = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(COLUMNS), VALUES), min_size=1, max_size=4)
"""The number of the row, its column and the new value."""

_numbers = count()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_changed_records(changes: list[tuple[int, str, Any]], original: Path, tmp_path: Path) -> None:
    """Whatever is in the records, no key of another slot or state is given out, and errors are ours."""
    path = Path(shutil.copy(original, tmp_path / f"{next(_numbers)}.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        for row, column, value in changes:
            connection.execute(f"UPDATE api_key SET {column} = ? WHERE rowid = ?", (value, row))
    with Store(path) as store:
        vault = Vault(store, MASTER)

        def given_out(slot: str) -> str | None:
            with suppress(SupernovaError):
                return vault.reveal("openai", slot).reveal()
            return None

        restated = {"state", "provider", "slot"} & {column for _, column, _ in changes}
        assert given_out("primary") in {None, ACTIVE} | ({RETIRING, PENDING} if restated else set())
        assert given_out("backup") in {None, BACKUP}
        for look in _looks(vault, store):
            with suppress(SupernovaError):
                look()
        started = lifecycle.start_rotation(vault, "openai", "primary", Secret(NEXT))
        lifecycle.activate(vault, started, grace_ms=1000)
        assert vault.reveal("openai", "primary").reveal() == NEXT
        vault.add("openai", "backup", Secret(LAST))
        assert vault.reveal("openai", "backup").reveal() == LAST
        lifecycle.revoke(vault, "openai", "primary")
        assert given_out("primary") is None
        assert vault.verify_audit().ok
    path.unlink()


def _looks(vault: Vault, store: Store) -> list[Callable[[], object]]:
    """Return what the commands do with the records."""
    config = Config()
    at = datetime(2100, 1, 1, tzinfo=UTC)

    def table() -> None:
        rows = [(key, key_checks.next_reminder(key, config, vault.now_ms())) for key in vault.list()]
        inventory_tables.key_status(rows)
        inventory_tables.keys(vault.list())

    return [
        table,
        lambda: key_checks.remind(store, config, vault.now_ms()),
        lambda: key_rotation.revoke_expired(vault),
        lambda: lifecycle.note_check(vault, vault.list()[0], "ok"),
        lambda: lifecycle.set_expiry(vault, "openai", "primary", at),
    ]
