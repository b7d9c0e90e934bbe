from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supernova_ai.errors import KeyCorrupt, KeyNotFound, MasterKeyError
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

FIRST, SECOND = Secret("sk-first-00000001"), Secret("sk-second-0000002")


def change(path: Path, statement: str, *values: object) -> None:
    """Change the database without the vault."""
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
    """Revealing a damaged or moved record fails and names it; other records are not affected."""
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
    """Two records that are exchanged, including their ids, are both refused."""
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
        with pytest.raises(KeyCorrupt, match="moved here from another"):
            other.reveal("openai", "primary")
        assert other.reveal("openai", "backup").reveal() == SECOND.reveal()


@pytest.mark.parametrize("damaged", [2**62, -(2**62), "yesterday"])
def test_damaged_time_does_not_take_the_list_down(vault: Vault, path: Path, damaged: object) -> None:
    """A key with a damaged creation time is listed with the date 1970 and still opens."""
    vault.add("openai", "primary", FIRST)
    change(path, "UPDATE api_key SET created_ms = ?", damaged)
    assert vault.list()[0].created == datetime(1970, 1, 1, tzinfo=UTC)
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()


LIFECYCLE = (
    "reason",
    "activated_ms",
    "until_ms",
    "expires_ms",
    "checked_ms",
    "check_result",
    "used_ms",
)
COLUMNS = ("id", "provider", "slot", "version", "state", "master_id", "fingerprint", "sealed", "created_ms")
FREE = "fingerprint", "created_ms"  # only shown, not authenticated
ANYTHING = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
    st.binary().map(lambda raw: ("CAST(? AS TEXT)", raw)),  # a text that may be no UTF-8
    st.sampled_from(
        [2**63 - 1, 2**31 - 1, 999_999, 1_000_000, "abc", b"\xff", "active", b"active", "1.5", 1.5]
    ),
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("column", COLUMNS)
def test_any_damage_is_of_one_record(vault: Vault, path: Path, column: str, data: st.DataObject) -> None:
    """Whatever SQL value a column gets, that record alone is corrupt, and every command goes on working."""
    value = data.draw(ANYTHING)
    vault.add("openai", "primary", FIRST)
    vault.add("openai", "backup", SECOND)
    with sqlite3.connect(path) as connection:
        connection.executescript(  # a column without a type or a constraint takes every value as it is
            f"CREATE TABLE loose ({', '.join((*COLUMNS, *LIFECYCLE))});"
            "INSERT INTO loose SELECT * FROM api_key;"
            "DROP TABLE api_key; ALTER TABLE loose RENAME TO api_key"
        )
        where = "WHERE provider = 'openai' AND slot = 'primary' AND state = 'active'"
        ((before,),) = connection.execute(f"SELECT {column} FROM api_key {where}")
        sql, argument = value if isinstance(value, tuple) else ("?", value)
        connection.execute(f"UPDATE api_key SET {column} = {sql} {where}", (argument,))
    connection.close()
    if column in FREE or (value == before and type(value) is type(before)):
        assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
    else:
        with pytest.raises(
            KeyNotFound if column in ("provider", "slot") or value == "revoked" else KeyCorrupt
        ):
            vault.reveal("openai", "primary")
    assert vault.reveal("openai", "backup").reveal() == SECOND.reveal()
    assert all(isinstance(key.version, int) and isinstance(key.state, str) for key in vault.list())
    assert vault.add("openai", "primary", FIRST).version > 0
    assert vault.reveal("openai", "primary").reveal() == FIRST.reveal()
    vault.remove("openai", "primary")
    assert vault.verify_audit().ok
    assert list(vault.audit_events())[-1].event == "key.removed"


@pytest.mark.parametrize("column", ["at_ms", "event", "subject", "details", "mac"])
@pytest.mark.parametrize("value", ["x'ff'", "CAST(x'ff' AS TEXT)", "1.5", "''", "9e999"])
def test_a_damaged_audit_row_is_named(vault: Vault, path: Path, column: str, value: str) -> None:
    """A damaged audit row is reported as altered, whatever it holds, and the events can still be listed."""
    vault.add("openai", "primary", FIRST)
    change(path, f"UPDATE audit SET {column} = {value} WHERE number = 2")
    assert vault.verify_audit().first_bad == 2
    assert len(list(vault.audit_events())) == 2
    vault.remove("openai", "primary")
    assert vault.verify_audit().first_bad == 2


@pytest.mark.parametrize("name", ["audit.head", "master.id"])
@pytest.mark.parametrize("value", ["x'ff'", "CAST(x'ff' AS TEXT)", "7"])
def test_damaged_meta_rows_are_reported(vault: Vault, path: Path, name: str, value: str) -> None:
    """A damaged head loses the chain; a damaged master id counts as another master."""
    vault.add("openai", "primary", FIRST)
    change(path, f"UPDATE meta SET value = {value} WHERE name = '{name}'")
    if name == "audit.head":
        assert not vault.verify_audit().ok
    with pytest.raises(MasterKeyError) if name == "master.id" else nullcontext():
        vault.remove("openai", "primary")
