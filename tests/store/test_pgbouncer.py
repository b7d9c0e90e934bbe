"""Behind PgBouncer each transaction may use another connection, so no state may stay on a connection."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import StoreError
from supernova_ai.ledger import Ledger
from supernova_ai.store import Store
from tests.databases import new_schema
from tests.holds import place_hold, settled
from tests.pgbouncer import pooled
from tests.recount import attempts, check_store
from tests.upkeep.sample_ledger import report

DAILY = Budget(name="daily", limit=Decimal(1), per="day")


@pytest.fixture
def pool() -> Iterator[str]:
    """The URL of an empty database behind a PgBouncer in transaction mode."""
    with pooled() as pool:
        yield pool.url


def test_a_ledger_works_behind_a_pooler_in_transaction_mode(pool: str) -> None:
    """Four ledgers run the same statements in turn over three connections without losing anything."""

    def use(number: int) -> None:
        with Store(pool) as store:
            ledger = Ledger(store, (DAILY,))
            ledger.sweep()
            for turn in range(12):  # psycopg would prepare a statement at its sixth use
                hold = ledger.write(
                    place_hold(ledger, f"{number}-{turn}", 1000, user_id=f"u{number}")
                ).result()
                assert ledger.end(hold, settled(7, ledger.now_ms())).result()
                assert hold.attempt in attempts(store)
                assert report(store, budgets=(DAILY,)).ok
            ledger.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    with Store(pool) as store:
        check_store(store)
        assert {row.state for row in attempts(store).values()} == {"settled"}
        assert len(attempts(store)) == 48


def test_a_pooler_that_refuses_options_is_named(pool: str) -> None:
    """PgBouncer refuses the startup parameter "options"; the message says what to do instead."""
    with pytest.raises(StoreError, match=r"unsupported startup parameter.* connect_query"):
        Store(f"{pool}?options=-csearch_path%3Dmine")


def test_a_pooler_that_ignores_options_is_noticed() -> None:
    """If the schema of the URL is not in force, opening fails: it would be a second ledger."""
    with (
        pooled(ignore_startup_parameters="options") as pool,
        pytest.raises(StoreError, match=r"search_path=mine and the server uses supernova_.* connect_query"),
    ):
        Store(f"{pool.url}?options=-csearch_path%3Dmine")


def test_a_pooler_in_statement_mode_is_named() -> None:
    """Statement mode has no transactions; the message names the modes that work."""
    with (
        pooled(pool_mode="statement") as pool,
        pytest.raises(StoreError, match=r"pool_mode to transaction or session"),
    ):
        Store(pool.url)


def test_a_pooler_in_session_mode_works() -> None:
    """A pooler in session mode works like a direct connection."""
    with pooled(pool_mode="session", server_reset_query="DISCARD TEMP") as pool, Store(pool.url) as store:
        ledger = Ledger(store, (DAILY,))
        hold = ledger.write(place_hold(ledger, "one", 1000)).result()
        assert ledger.end(hold, settled(7, ledger.now_ms())).result()
        ledger.close()


def test_settlements_cut_off_by_the_pooler_are_written_by_the_next_process() -> None:
    """If the pooler dies during settlements and stays down until the process ends, none of them is lost."""
    with pooled() as pool:
        with Store(pool.url) as cut:
            ledger = Ledger(cut, (DAILY,))
            taking = [ledger.write(place_hold(ledger, f"hold-{number}", 1000)) for number in range(100)]
            held = [future.result() for future in taking]
            ends = [ledger.end(hold, settled(7, ledger.now_ms())) for hold in held[:50]]
            ends[0].result()
            pool.process.kill()
            pool.process.wait()
            ends += [ledger.end(hold, settled(7, ledger.now_ms())) for hold in held[50:]]
            assert ends[-1].exception() is not None
            ledger.close()
        with Store(pool.direct) as store:
            assert Ledger(store, (DAILY,)).sweep() == 0
            assert {(row.state, row.cost, row.late) for row in attempts(store).values()} == {
                ("settled", 7, 0)
            }
            check_store(store)


def test_a_statement_timeout_names_its_remedy() -> None:
    """If the server cancels a statement, the error names the setting; the next statement works."""
    with (
        new_schema() as url,
        Store(url.replace("options=", "options=-cstatement_timeout%3D500%20")) as store,
    ):
        with pytest.raises(StoreError, match=r"statement timeout\. Raise statement_timeout for this user"):
            store.write(lambda database: database.execute_sql("SELECT pg_sleep(10)")).result()
        with pytest.raises(StoreError, match="Raise statement_timeout"):
            store.read(lambda database: database.execute_sql("SELECT pg_sleep(10)"))
        assert store.write(lambda _: Path("works")).result() == Path("works")
