"""SIGKILL before each statement of a change of keys leaves the state before or after it, never a third."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import count

import pytest
from peewee import Database

from supernova_ai.config import Config
from supernova_ai.keys import MasterKey, Vault, lifecycle
from supernova_ai.operations import key_rotation
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.processes import kill_at, run_in_child

pytestmark = pytest.mark.proof

MASTER = MasterKey.of(bytes(32))
OLD, NEW, LAST = (Secret(f"sk-number-0000000{n}") for n in (1, 2, 3))
BACKUP = Secret("sk-backup-00000001")

Change = Callable[[Vault], object]


def add(vault: Vault) -> None:
    vault.add("openai", "primary", NEW)


def rotate(vault: Vault) -> None:
    key_rotation.rotate(vault, Config(), "openai", "primary", NEW, check=False)


def fail(vault: Vault) -> None:
    started = lifecycle.start_rotation(vault, "openai", "primary", NEW)
    lifecycle.fail_rotation(vault, started, "openai refused the key")


def revoke(vault: Vault) -> None:
    key_rotation.revoke(vault, "openai", "primary", wait=lambda _: None)


def dies_before(statement: int, where: str, change: Change) -> bool:
    """Run the change in a process that is killed before this statement; return whether it came so far."""

    def work() -> None:
        with Store(where) as store:
            vault = Vault(store, MASTER)
            vault.unlock()
            # A commit of PostgreSQL is no statement.
            kill_at(statement, [(Database, ("execute_sql", "commit"))])
            change(vault)

    code = run_in_child(work)
    assert code in (0, -signal.SIGKILL)
    return code != 0


State = tuple[tuple[int, str], ...]

BEFORE: State = ((1, "active"),)
PENDING: State = ((1, "active"), (2, "pending"))
STATES: dict[Change, dict[State, list[str]]] = {
    add: {BEFORE: [], ((1, "revoked"), (2, "active")): ["key.added"]},
    rotate: {
        BEFORE: [],
        PENDING: ["key.rotation.started"],
        ((1, "retiring"), (2, "active")): ["key.rotation.started", "key.activated"],
    },
    fail: {
        BEFORE: [],
        PENDING: ["key.rotation.started"],
        ((1, "active"), (2, "failed")): ["key.rotation.started", "key.rotation.failed"],
    },
    revoke: {BEFORE: [], ((1, "revoked"),): ["key.revoked"]},
}
"""The states of the slot that each change goes through, and what is in the audit then."""


@pytest.mark.parametrize("change", STATES, ids=lambda change: change.__name__)
def test_a_kill_leaves_the_old_or_the_new_state(
    change: Change, new_database: Callable[[], str], request: pytest.FixtureRequest
) -> None:
    """Killed before its first statement, its second … its last, a change is whole or absent; the key in use
    opens, the audit has a row for each step that was made, and the next rotation works.
    """
    engine = request.node.callspec.params["new_database"]
    seen: set[State] = set()
    for statement in count(0, 1 if engine == "sqlite" else 4):
        where = new_database()
        with Store(where) as store:
            vault = Vault(store, MASTER)
            vault.add("openai", "primary", OLD)
            vault.add("openai", "backup", BACKUP)
        died = dies_before(statement, where, change)
        with Store(where) as store:
            vault = Vault(store, MASTER)
            keys = [key for key in vault.list() if key.slot == "primary"]
            state = tuple((key.version, key.state) for key in keys)
            made = [event.event for event in vault.audit_events() if event.subject == "openai/primary"]
            assert made == ["key.added", *STATES[change][state]]
            seen.add(state)
            if change is not revoke or state == BEFORE:
                expected = NEW if (2, "active") in state else OLD
                assert vault.reveal("openai", "primary").reveal() == expected.reveal()
            assert vault.reveal("openai", "backup").reveal() == BACKUP.reveal()
            assert vault.verify_audit().ok
            key_rotation.rotate(vault, Config(), "openai", "primary", LAST, check=False)
            assert vault.reveal("openai", "primary").reveal() == LAST.reveal()
            assert "pending" not in {key.state for key in vault.list()}
        if not died:
            break
    assert seen == STATES[change].keys()


def test_a_kill_during_the_first_key_leaves_nothing_or_all(new_database: Callable[[], str]) -> None:
    """The store has its master key, the API key and their audit rows, or none of them."""
    seen = set()
    for statement in count():
        where = new_database()
        died = dies_before(statement, where, add)
        with Store(where) as store:
            vault = Vault(store, MASTER)
            made = tuple(event.event for event in vault.audit_events())
            seen.add(made)
            assert len(vault.list()) == (1 if made else 0)
            assert vault.verify_audit().ok
            vault.add("openai", "backup", BACKUP)
            if made:
                assert vault.reveal("openai", "primary").reveal() == NEW.reveal()
        if not died:
            break
    assert seen == {(), ("master.created", "key.added")}
