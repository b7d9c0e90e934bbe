from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store

KEYS = [Secret(f"sk-test-{number:08}") for number in range(4)]

INSERT = """INSERT INTO audit SELECT 6, at_ms, event, subject, details, mac, actor, source, outcome
    FROM audit WHERE number = 5"""
CLOSE_UP = "UPDATE audit SET number = number - 1 WHERE number > 3"
SWAP = """UPDATE audit SET (at_ms, event, subject, details, mac) =
    (SELECT at_ms, event, subject, details, mac FROM audit AS other WHERE other.number = 5 - audit.number)
    WHERE number IN (2, 3)"""
SHORTER_HEAD = """UPDATE meta SET value =
    '3:' || (SELECT mac FROM audit WHERE number = 3) || substr(value, -65) WHERE name = 'audit.head'"""

PUT_BACK = "UPDATE meta SET value = '{}' WHERE name = 'audit.head'"


def head_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        ((head,),) = connection.execute("SELECT value FROM meta WHERE name = 'audit.head'")
    return str(head)


@pytest.fixture
def five(vault: Vault) -> Vault:
    """A vault whose chain has five rows: master.created, three keys added, one removed."""
    vault.add("openai", "primary", KEYS[0])
    vault.add("openai", "primary", KEYS[1])
    vault.add("groq", "backup", KEYS[2])
    vault.remove("groq", "backup")
    return vault


@pytest.fixture
def tamper(path: Path) -> Callable[..., None]:
    """Change the database without the vault, as an attacker with the file but without the master would."""

    def run(*statements: str) -> None:
        with sqlite3.connect(path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return run


def test_events_tell_what_happened(five: Vault) -> None:
    """Each change leaves an event with its subject and time, and the chain verifies."""
    events = list(five.audit_events())
    assert [(event.number, event.event, event.subject) for event in events[1:]] == [
        (2, "key.added", "openai/primary"),
        (3, "key.added", "openai/primary"),
        (4, "key.added", "groq/backup"),
        (5, "key.removed", "groq/backup"),
    ]
    assert events[0].event == "master.created"
    assert {event.at.isoformat() for event in events} == {"2026-09-21T14:13:20+00:00"}
    assert five.list()[-1].fingerprint in events[2].details
    report = five.verify_audit()
    assert (report.rows, report.ok, report.first_bad, report.reason) == (5, True, None, None)


def test_no_rows_verify_without_a_master(store: Store) -> None:
    """A store without any key verifies without a master key."""

    def refuse() -> MasterKey:
        raise AssertionError("the master was asked for")

    report = Vault(store, refuse).verify_audit()
    assert (report.rows, report.ok) == (0, True)


@pytest.mark.parametrize(
    ("statements", "first_bad", "reason"),
    [
        (["UPDATE audit SET at_ms = at_ms + 1 WHERE number = 2"], 2, "altered"),
        (["UPDATE audit SET event = 'key.removed' WHERE number = 2"], 2, "altered"),
        (["UPDATE audit SET subject = 'openai/backup' WHERE number = 3"], 3, "altered"),
        (["UPDATE audit SET details = '{}' WHERE number = 4"], 4, "altered"),
        (["UPDATE audit SET actor = 'bob' WHERE number = 4"], 4, "altered"),
        (["UPDATE audit SET actor = NULL, source = NULL, outcome = NULL WHERE number = 4"], 4, "altered"),
        (["UPDATE audit SET mac = 'é' WHERE number = 5"], 5, "altered"),
        (["UPDATE audit SET number = 6 WHERE number = 5"], 5, "row 5 is missing"),
        (["DELETE FROM audit WHERE number = 3"], 3, "row 3 is missing"),
        (["DELETE FROM audit WHERE number = 1"], 1, "row 1 is missing"),
        (["DELETE FROM audit WHERE number = 3", CLOSE_UP], 3, "altered"),
        (["DELETE FROM audit WHERE number > 3"], 4, "2 rows missing at the end"),
        (["DELETE FROM audit"], 1, "5 rows missing at the end"),
        (["DELETE FROM audit", "DELETE FROM meta WHERE name = 'audit.head'"], 1, "missing or altered"),
        (["DELETE FROM audit WHERE number > 3", SHORTER_HEAD], 4, "missing or altered"),
        (["DELETE FROM meta WHERE name = 'audit.head'"], 6, "missing or altered"),
        (["UPDATE meta SET value = 'x' WHERE name = 'audit.head'"], 6, "missing or altered"),
        ([INSERT], 6, "altered"),
        ([SWAP], 2, "altered"),
    ],
)  # fmt: skip
def test_tampering_is_found(
    five: Vault, tamper: Callable[..., None], statements: list[str], first_bad: int, reason: str
) -> None:
    """The report names the first row that was altered, deleted, inserted, reordered or cut off."""
    tamper(*statements)
    report = five.verify_audit()
    assert (report.ok, report.first_bad) == (False, first_bad)
    assert reason in str(report.reason)


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM audit WHERE number > 3"],
        ["DELETE FROM audit WHERE number > 3", "DELETE FROM meta WHERE name = 'audit.head'"],
        ["DELETE FROM meta WHERE name = 'audit.head'"],
        [INSERT],
    ],
)
def test_later_events_do_not_repair_the_chain(
    five: Vault, tamper: Callable[..., None], statements: list[str]
) -> None:
    """After tampering, keys can still be changed, but the chain never verifies again."""
    tamper(*statements)
    five.add("openai", "backup", KEYS[3])
    five.remove("openai", "backup")
    assert not five.verify_audit().ok
    assert list(five.audit_events())[-1].event == "key.removed"


NO_CHAIN = ["DELETE FROM audit", "DELETE FROM meta WHERE name = 'audit.head'"]
NO_MASTER = ["DELETE FROM meta WHERE name = 'master.id'"]
NO_KEYS = ["DELETE FROM api_key"]
TURN = ["INSERT INTO session_turn VALUES ('ann', 'talk', 1, 0, x'00')"]


@pytest.mark.parametrize(
    "statements",
    [
        NO_CHAIN,
        NO_CHAIN + NO_KEYS,
        NO_CHAIN + NO_MASTER,
        NO_CHAIN + NO_MASTER + NO_KEYS + TURN,
        NO_KEYS + NO_MASTER + ["DELETE FROM audit"],
    ],
    ids=["keys and master", "master", "keys", "conversation", "head"],
)
def test_a_lost_chain_never_restarts(
    five: Vault, store: Store, master: MasterKey, tamper: Callable[..., None], statements: list[str]
) -> None:
    """If the head is missing while anything sealed remains, the chain stays lost after later events."""
    tamper(*statements)
    for again in (Vault(store, master), Vault(store, master)):
        assert not again.verify_audit().ok
        again.add("openai", "backup", KEYS[3])
        report = again.verify_audit()
        assert not report.ok
        assert re.search("lost|missing", str(report.reason))
        assert again.reveal("openai", "backup").reveal() == KEYS[3].reveal()


def test_the_chain_of_a_new_store_starts_with_its_master(vault: Vault) -> None:
    """The first key starts a chain that verifies."""
    vault.add("openai", "primary", KEYS[0])
    assert [event.event for event in vault.audit_events()] == ["master.created", "key.added"]
    assert vault.verify_audit().ok


def test_rows_of_another_store_do_not_verify(five: Vault, master: MasterKey, tmp_path: Path) -> None:
    """A chain copied into another store does not verify there, although the master is the same."""
    with Store(tmp_path / "other.db") as other:
        vault = Vault(other, master)
        vault.add("openai", "primary", KEYS[0])
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("ATTACH ? AS five", (str(tmp_path / "supernova.db"),))
            connection.execute("DELETE FROM audit")
            connection.execute("INSERT INTO audit SELECT * FROM five.audit")
            connection.execute(
                "UPDATE meta SET value = (SELECT value FROM five.meta WHERE name = 'audit.head') "
                "WHERE name = 'audit.head'"
            )
        connection.close()
        assert vault.verify_audit().first_bad == 1


def test_a_whole_rollback_is_not_detected(five: Vault, tamper: Callable[..., None], path: Path) -> None:
    """The documented limit: rows and head restored together to an earlier state verify."""
    head = head_of(path)
    five.add("openai", "backup", KEYS[3])
    assert five.verify_audit().rows == 6
    tamper("DELETE FROM audit WHERE number = 6", PUT_BACK.format(head))
    assert (five.verify_audit().rows, five.verify_audit().ok) == (5, True)


def test_rows_beyond_the_head_are_named(five: Vault, tamper: Callable[..., None], path: Path) -> None:
    """A head that is put back alone is found at once, not only when the next row is added."""
    head = head_of(path)
    five.add("openai", "backup", KEYS[3])
    tamper(PUT_BACK.format(head))
    report = five.verify_audit()
    assert (report.ok, report.first_bad) == (False, 6)
    assert "names row 5, and rows follow it" in str(report.reason)


def test_another_master_is_named_not_blamed_on_the_rows(five: Vault, store: Store) -> None:
    """A check with the wrong master key reports the master, not altered rows."""
    with pytest.raises(MasterKeyError, match="not the one the store was sealed with"):
        Vault(store, MasterKey.of(bytes(32))).verify_audit()


def test_rows_of_another_past_do_not_fit_the_head(
    five: Vault, tamper: Callable[..., None], path: Path
) -> None:
    """Genuine rows of a copy that continued differently do not match the head."""
    before = head_of(path)
    five.add("openai", "backup", KEYS[3])
    after = head_of(path)
    tamper("DELETE FROM audit WHERE number = 6", PUT_BACK.format(before))
    five.remove("openai", "primary")
    tamper(PUT_BACK.format(after))
    report = five.verify_audit()
    assert (report.ok, report.first_bad) == (False, 6)
    assert "not the one the chain's end names" in str(report.reason)
