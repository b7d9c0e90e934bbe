"""PostgreSQL: machines that share a server take turns, agree on the time and survive lost connections."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from peewee import Database, OperationalError

from supernova_ai.errors import StoreError
from supernova_ai.store import Store, postgres
from supernova_ai.store import database as opening
from supernova_ai.store.bulk import run
from supernova_ai.store.postgres import OVERLAPPING, Postgres
from supernova_ai.store.tables import MetaRow
from tests.databases import empty_schema

on_postgres = pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)

URL = "postgresql://ann@127.0.0.1:1/nowhere"


def add_one(database: Database) -> None:
    """Read a number, then write the next one: correct only if no other writer comes in between."""
    found = MetaRow.select(MetaRow.value).where(MetaRow.name == "number").tuples().execute(database)
    number = next((int(value) for (value,) in found), 0) + 1
    MetaRow.insert(name="number", value=str(number)).on_conflict(
        conflict_target=[MetaRow.name], update={MetaRow.value: str(number)}
    ).execute(database)


def number(store: Store) -> str:
    rows = store.read(lambda d: list(MetaRow.select().where(MetaRow.name == "number").execute(d)))
    return str(rows[0].value)


def backend(database: Database) -> int:
    """Return the server's process id of this connection."""
    return int(database.execute_sql("SELECT pg_backend_pid()").fetchone()[0])


def test_writers_of_several_stores_take_turns(where: str) -> None:
    """No other writer can change what a transaction has read before it ends, on either engine."""
    with Store(where) as one, Store(where) as two:
        futures = [store.write(add_one) for _ in range(50) for store in (one, two)]
        for future in futures:
            future.result()
        assert number(one) == "100"


@on_postgres
def test_a_connection_dropped_while_idle_is_replaced(store: Store) -> None:
    """After the server ended the writer's connection, the next write works on a new one."""
    before = store.write(backend).result()
    store.read(lambda database: database.execute_sql("SELECT pg_terminate_backend(%s)", (before,)))
    store.write(add_one).result()
    assert number(store) == "1"
    assert store.write(backend).result() != before


@on_postgres
def test_an_idle_transaction_is_ended_by_the_server(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends and undoes an idle transaction, so that other machines can write."""
    with Store(where) as silent, Store(where) as other:
        patient = postgres._BEGIN
        monkeypatch.setattr(
            postgres, "_BEGIN", patient.replace("session_timeout = '20s'", "session_timeout = '50ms'")
        )
        assert patient != postgres._BEGIN
        in_turn, go_on = threading.Event(), threading.Event()

        def silence(database: Database) -> None:
            add_one(database)
            in_turn.set()
            go_on.wait()

        lost = silent.write(silence)
        in_turn.wait()
        monkeypatch.undo()
        other.write(add_one).result()
        go_on.set()
        with pytest.raises(StoreError, match="Try again: the next write opens a new connection"):
            lost.result()
        assert number(other) == "1"
        silent.write(add_one).result()
        assert number(other) == "2"


@pytest.mark.parametrize("mode", [(), (OVERLAPPING,)], ids=["alone", "overlapping"])
@on_postgres
def test_an_idle_transaction_ends_before_others_give_up(where: str, mode: tuple[str, ...]) -> None:
    """If a process is stopped in its transaction, those who wait for its locks get them, and no error."""
    names = ("idle_in_transaction_session_timeout", "lock_timeout")
    setting = "SELECT setting::int FROM pg_settings WHERE name = ?"  # milliseconds
    database = Postgres(where)
    with database.connection_context(), database.atomic(*mode):
        idle, wait = (run(database, setting, name).fetchone()[0] for name in names)
    assert 0 < idle < wait


@on_postgres
def test_machines_agree_on_the_servers_time(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local clock that is wrong, or changes while the store is open, does not change the store's time."""
    true = time.time
    with Store(where) as store:
        monkeypatch.setattr(time, "time", lambda: true() + 200_000)
        with Store(where) as skewed:
            assert abs(store.now() - skewed.now()) < 10
            assert abs(store.now() - true()) < 10


def test_a_file_uses_this_machines_time(path: Path) -> None:
    """Without a server the store uses this machine's clock."""
    with Store(path) as store:
        before = time.time()
        assert before <= store.now() <= time.time()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between attempts instead of sleeping."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def test_opening_waits_for_a_server_that_restarts(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening tries again until the server accepts connections."""
    connect: Any = postgres.Postgres._connect  # type: ignore[attr-defined]

    def restarting(self: postgres.Postgres) -> Any:
        self.connect_params["port"] = 1 if len(pauses) < 3 else there  # no server listens on port 1
        return connect(self)

    with empty_schema() as url:
        with psycopg.connect(url) as server:
            there = server.info.port
        monkeypatch.setattr(postgres.Postgres, "_connect", restarting)
        with Store(url) as store:
            store.write(add_one).result()
            assert number(store) == "1"
    assert pauses == [0.1, 0.2, 0.4]


@pytest.mark.parametrize(
    "words",
    ["the database system is starting up", "the database system is shutting down", "Connection refused"],
)
def test_only_transient_errors_are_retried(words: str) -> None:
    """Errors of a restarting server are transient; a wrong name or password is not."""
    assert postgres.is_transient(OperationalError(f"connection failed: FATAL:  {words}"))
    assert not postgres.is_transient(
        OperationalError('FATAL:  password authentication failed for user "ann"')
    )
    assert not postgres.is_transient(OperationalError('FATAL:  database "nowhere" does not exist'))


def test_a_wrong_database_is_not_retried(pauses: list[float]) -> None:
    """A permanent error is raised without a retry."""
    with empty_schema() as url, pytest.raises(StoreError, match="does not exist"):
        Store(url.replace("/test?", "/nowhere_at_all?"))
    assert pauses == []


def test_a_server_that_is_not_there_says_what_to_do(pauses: list[float]) -> None:
    """If no server listens, retries end in a StoreError that names the address and the settings to check."""
    with pytest.raises(
        StoreError, match=r"Connection refused.* Start the server, or correct its address"
    ) as caught:
        Store(URL)
    assert str(caught.value).startswith("the database could not be used (postgresql://127.0.0.1:1/nowhere): ")
    assert pauses == list(opening._PAUSES_S)


def test_a_wrong_url_does_not_show_its_password() -> None:
    """The error for a URL that cannot be parsed does not repeat it."""
    with pytest.raises(StoreError, match=r"not a valid postgresql:// URL.* as %XX") as caught:
        Store("postgresql://ann:hunter%2@127.0.0.1/nova")
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_driver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg a PostgreSQL URL is refused; the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'supernova-ai\[postgres\]'"):
        Store(URL)
