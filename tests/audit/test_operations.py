"""Operations that are no change of a key, in the chain."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
from peewee import Database

import supernova_ai
from supernova_ai.audit import acting
from supernova_ai.errors import MasterKeyError
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.secret import Secret
from supernova_ai.store import Store, get_meta, set_meta

KEY = Secret("sk-test-00000000")


def change(value: str) -> Callable[[Database, Record], str]:
    def write(database: Database, record: Record) -> str:
        set_meta(database, "colour", value)
        record("config.applied", "colour", {"after": value})
        return value

    return write


def test_a_row_says_who_did_what_from_where(vault: Vault) -> None:
    """A row has the actor and the source of the context in which the operation was called."""
    with acting("dashboard", "ann"):
        assert vault.audited(change("red")) == "red"
    (event,) = vault.audit_events()
    assert (event.event, event.subject, event.actor, event.outcome) == (
        "config.applied",
        "colour",
        "ann",
        "done",
    )
    assert event.source.startswith("dashboard on ")


def test_operations_before_the_first_master_are_covered_by_it(store: Store, master: MasterKey) -> None:
    """A store without a master key has a chain too; the first master signs it."""

    def refuse() -> MasterKey:
        raise MasterKeyError("no master")

    keyless = Vault(store, refuse)
    keyless.audited(change("red"))
    assert (keyless.verify_audit().rows, keyless.verify_audit().ok) == (1, True)
    vault = Vault(store, master)
    vault.add("openai", "primary", KEY)
    assert [event.event for event in vault.audit_events()] == [
        "config.applied",
        "master.created",
        "key.added",
    ]
    assert vault.verify_audit().ok
    store.write(
        lambda database: database.execute_sql("UPDATE audit SET details = '{}' WHERE number = 1")
    ).result()
    assert vault.verify_audit().first_bad == 1


def test_without_its_row_nothing_changes(store: Store, vault: Vault, master: MasterKey) -> None:
    """If the audit cannot be signed, the change is refused; if the change fails, there is no row."""
    vault.add("openai", "primary", KEY)

    def refuse() -> MasterKey:
        raise MasterKeyError("the keyring is locked")

    with pytest.raises(MasterKeyError, match="locked"):
        Vault(store, refuse).audited(change("red"))

    def fail(database: Database, record: Record) -> None:
        record("config.applied", "colour")
        raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        vault.audited(fail)
    assert store.read(lambda database: get_meta(database, "colour")) is None
    assert (vault.verify_audit().rows, vault.verify_audit().ok) == (2, True)


def test_every_event_is_documented() -> None:
    """docs/audit.md names each event that is recorded in the package, by ``record`` or through it."""
    package = Path(supernova_ai.__file__).parent
    calls = [
        call
        for path in package.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name | ast.Attribute)
    ]
    named = [(ast.unparse(call.func), call.args) for call in calls]
    first = [arguments[0] for name, arguments in named if arguments and name == "record"]
    # partial(self._vault.record, event, …)
    first += [
        arguments[1]
        for name, arguments in named
        if name == "partial" and len(arguments) > 1 and ast.unparse(arguments[0]).endswith("_vault.record")
    ]
    events = [part for each in first for part in ast.walk(each)]
    names = {str(part.value) for part in events if isinstance(part, ast.Constant)}
    page = (package.parent / "docs/audit.md").read_text()
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in page} == set()
