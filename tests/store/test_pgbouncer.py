"""Behind PgBouncer every transaction may have another connection: nothing may be left on one for the next."""

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
from tests.databases import schema
from tests.pooling import pooled
from tests.proofs.calls import attempts, check, placing, settled
from tests.upkeep.keeping import report

DAILY = Budget(name="daily", limit=Decimal(1), per="day")


@pytest.fixture
def pool() -> Iterator[str]:
    """The URL of an empty database behind a PgBouncer in transaction mode."""
    with pooled() as pool:
        yield pool.url


def test_a_ledger_works_behind_a_pooler_in_transaction_mode(pool: str) -> None:
    """Four ledgers write and read the same statements by turns over three connections, and lose nothing."""

    def use(number: int) -> None:
        with Store(pool) as store:
            ledger = Ledger(store, (DAILY,))
            ledger.sweep()
            for turn in range(12):  # psycopg would prepare a statement at its sixth use
                hold = ledger.write(placing(ledger, f"{number}-{turn}", 1000, user_id=f"u{number}")).result()
                assert ledger.end(hold, settled(7, ledger.now_ms())).result()
                assert hold.attempt in attempts(store)
                assert report(store, budgets=(DAILY,)).ok
            ledger.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    with Store(pool) as store:
        check(store)
        assert {row.state for row in attempts(store).values()} == {"settled"}
        assert len(attempts(store)) == 48


def test_a_pooler_that_refuses_options_is_named(pool: str) -> None:
    """PgBouncer takes no startup parameter "options": the message says what to do in its place."""
    with pytest.raises(StoreError, match=r"unsupported startup parameter.* connect_query"):
        Store(f"{pool}?options=-csearch_path%3Dmine")


def test_a_pooler_that_ignores_options_is_noticed() -> None:
    """A schema that is asked for and not in force would be a second ledger: it is refused."""
    with (
        pooled(ignore_startup_parameters="options") as pool,
        pytest.raises(StoreError, match=r"search_path=mine and the server uses supernova_.* connect_query"),
    ):
        Store(f"{pool.url}?options=-csearch_path%3Dmine")


def test_a_pooler_in_statement_mode_is_named() -> None:
    """Where there are no transactions there is no ledger: the message names the modes that work."""
    with (
        pooled(pool_mode="statement") as pool,
        pytest.raises(StoreError, match=r"pool_mode to transaction or session"),
    ):
        Store(pool.url)


def test_a_pooler_in_session_mode_works() -> None:
    """A connection for each client is as good as none between."""
    with pooled(pool_mode="session", server_reset_query="DISCARD TEMP") as pool, Store(pool.url) as store:
        ledger = Ledger(store, (DAILY,))
        hold = ledger.write(placing(ledger, "one", 1000)).result()
        assert ledger.end(hold, settled(7, ledger.now_ms())).result()
        ledger.close()


def test_what_is_owed_when_connections_are_cut_is_settled_by_the_next_process() -> None:
    """A pooler that dies amid settlements, and stays dead until the process ends, makes none of them lost."""
    with pooled() as pool:
        with Store(pool.url) as cut:
            ledger = Ledger(cut, (DAILY,))
            taking = [ledger.write(placing(ledger, f"hold-{number}", 1000)) for number in range(100)]
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
            check(store)


def test_a_statement_timeout_names_its_remedy() -> None:
    """A statement that the server stops says which setting stopped it; the next one works."""
    with schema() as url, Store(url.replace("options=", "options=-cstatement_timeout%3D100%20")) as store:
        with pytest.raises(StoreError, match=r"statement timeout\. Raise statement_timeout for this user"):
            store.write(lambda database: database.execute_sql("SELECT pg_sleep(10)")).result()
        with pytest.raises(StoreError, match="Raise statement_timeout"):
            store.read(lambda database: database.execute_sql("SELECT pg_sleep(10)"))
        assert store.write(lambda _: Path("works")).result() == Path("works")
