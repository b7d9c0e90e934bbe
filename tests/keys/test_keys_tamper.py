from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from supernova_ai.errors import (
    KeyCorrupt,
)
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

FIRST, SECOND = Secret("sk-first-00000001"), Secret("sk-second-0000002")


def change(path: Path, statement: str, *values: object) -> None:
    """Change the database behind the vault's back."""
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sealed", b""),
        ("sealed", b"\x01" * 200),
        ("sealed", "text, not bytes"),
        ("version", 7),
        ("id", "another"),
        ("master_id", "another"),
        ("slot", "third"),
        ("provider", "groq"),
    ],
)
def test_corrupt_record_fails_alone(vault: Vault, path: Path, column: str, value: object) -> None:
    """A damaged or moved record fails alone, by name, when it is revealed; all else is unharmed."""
    vault.add("openai", "primary", FIRST)
    vault.add("openai", "backup", SECOND)
    change(path, f"UPDATE api_key SET {column} = ? WHERE slot = 'primary'", value)
    ((key_id, provider, slot),) = sqlite3.connect(path).execute(
        "SELECT id, provider, slot FROM api_key WHERE slot <> 'backup'"
    )
    with pytest.raises(KeyCorrupt) as caught:
        vault.reveal(provider, slot)
    assert f"{key_id} of {provider}/{slot}" in str(caught.value)
    assert {key.slot for key in vault.list()} == {slot, "backup"}
    assert vault.reveal("openai", "backup").reveal() == SECOND.reveal()
    assert vault.add("openai", "primary", FIRST).state == "active"


def test_records_exchanged_between_slots_do_not_open(vault: Vault, path: Path) -> None:
    """Two whole records that change places, ids and all, are both refused."""
    vault.add("openai", "primary", FIRST)
    vault.add("openai", "backup", SECOND)
    change(
        path,
        "UPDATE api_key SET version = 9, slot = CASE slot WHEN 'backup' THEN 'primary' ELSE 'backup' END",
    )
    change(path, "UPDATE api_key SET version = 1")
    for slot in ("primary", "backup"):
        with pytest.raises(KeyCorrupt):
            vault.reveal("openai", slot)


def test_record_of_another_store_does_not_open(
    vault: Vault, path: Path, master: MasterKey, tmp_path: Path
) -> None:
    """A row copied into another store under the same master is refused there."""
    vault.add("openai", "primary", FIRST)
    with Store(tmp_path / "other.db") as store:
        other = Vault(store, master)
        other.add("openai", "backup", SECOND)
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("ATTACH ? AS one", (str(path),))
            connection.execute("INSERT INTO api_key SELECT * FROM one.api_key")
        connection.close()
        with pytest.raises(KeyCorrupt, match="moved from the place"):
            other.reveal("openai", "primary")
        assert other.reveal("openai", "backup").reveal() == SECOND.reveal()


@pytest.mark.parametrize("damaged", [2**62, -(2**62), "yesterday"])
def test_damaged_time_does_not_take_the_list_down(vault: Vault, path: Path, damaged: object) -> None:
    """A key whose time of creation is nonsense is still listed, dated 1970, and still opens."""
    vault.add("openai", "primary", FIRST)
    change(path, "UPDATE api_key SET created_ms = ?", damaged)
    assert vault.list()[0].created == datetime(1970, 1, 1, tzinfo=UTC)
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
