"""The schema of a database: which migrations made it, and how it becomes this version's."""

from __future__ import annotations

from pathlib import Path

from peewee import Database
from playhouse.migrations import Runner

from supernova_ai.errors import SchemaTooNew, StoreError
from supernova_ai.store.tables import TABLES

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(database: Database, shown: str) -> None:
    """Run the migrations that the database has not had.

    Args:
        shown: the database's name in messages.

    Raises:
        SchemaTooNew: it has had one that this version does not know.
    """
    runner = _runner(database)
    if _missing(runner, shown):
        runner.up()


def check(database: Database, shown: str) -> None:
    """Check that the database had all migrations, and change nothing; arguments as for ``migrate``.

    Raises:
        SchemaTooNew: it has had one that this version does not know.
        StoreError: it has not had one of this version's.
    """
    if missing := _missing(_runner(database), shown):
        raise StoreError(
            f"the database {shown} was written by an older version of supernova-ai (it lacks "
            f"{', '.join(missing)}): `supernova costs` brings it up to date, as all commands do that write"
        )


def is_current(database: Database) -> bool:
    """Return whether the database had exactly the migrations of this version, and change nothing."""
    return sorted(_runner(database).applied()) == known_migrations()


def _missing(runner: Runner, shown: str) -> list[str]:
    """Return the migrations that the database has not had, in order; raises ``SchemaTooNew``."""
    status = runner.status()
    if unknown := sorted(row.name for row in status if row.path is None):
        raise SchemaTooNew(
            f"the database {shown} was written by a newer version of supernova-ai "
            f"(it has {', '.join(unknown)}): upgrade the package, or set 'database' to another database"
        )
    return [row.name for row in status if row.applied is None]


def latest_migration(database: Database) -> str:
    """Return the name of the last migration that the database had."""
    return str(max(_runner(database).applied()))


def known_migrations() -> list[str]:
    """Return the names of this version's migrations, in order."""
    return sorted(file.stem for file in _MIGRATIONS.glob("[0-9]*.py"))


def recreate(database: Database, last: str) -> None:
    """Drop all tables and make them as they were after that migration; inside one transaction."""
    runner = _runner(database)
    for table in (*(table._meta.table_name for table in TABLES), runner.table_name):
        database.execute_sql(f"DROP TABLE IF EXISTS {table}")
    runner.up(last)


def _runner(database: Database) -> Runner:
    return Runner(database, str(_MIGRATIONS))
