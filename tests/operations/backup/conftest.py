from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from supernova_ai import config as configuration
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.ledger import Entry, Ledger
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.comparison import RestorePlace
from supernova_ai.operations.backup.container import Cost
from supernova_ai.operations.backup.inspection import inspect
from supernova_ai.operations.backup.restore import Restored, restore
from supernova_ai.operations.backup.snapshot import Created
from supernova_ai.ratings import Feedback, give
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import Table
from supernova_ai.upkeep import archive
from tests.ledger.conftest import clock, make_entry, open_ledger
from tests.upkeep.sample_ledger import BUDGETS, fill, rows

__all__ = ["clock", "make_entry", "open_ledger"]

PASSPHRASE = Secret("correct horse battery")
MASTER = Secret("5e" * 32)
KEY = Secret("sk-canary-of-the-tests-of-backups")


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a guess of the passphrase cost next to nothing; no master key is left from another test."""
    monkeypatch.setattr(snapshot, "COST", Cost(log_n=4))


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    """A store on either engine, unlike that of the folder above."""
    with Store(where) as store:
        yield store


@pytest.fixture
def loaded(tmp_path: Path) -> configuration.Loaded:
    """A configuration in files: the base, an overlay and a template."""
    folder = tmp_path / "config"
    (folder / "environments").mkdir(parents=True)
    (folder / "prompts").mkdir()
    (folder / "supernova.yaml").write_text(
        json.dumps({"budgets": [{"name": "daily", "limit": 50, "per": "day"}]})
    )
    (folder / "environments" / "staging.yaml").write_text("# nothing\n")
    (folder / "prompts" / "chat.md").write_text("---\nname: chat\n---\nHello\n")
    return configuration.load(folder / "supernova.yaml")


@pytest.fixture
def source(
    store: Store,
    open_ledger: Callable[..., Ledger],
    clock: SimpleNamespace,
    make_entry: Callable[..., Entry],
    seed: int,
    tmp_path: Path,
) -> Store:
    """A store with attempts of every kind, feedback, an archive, and a key under ``MASTER``."""
    vault_of(store).add("openai", "primary", KEY)
    ledger = open_ledger(*BUDGETS)
    fill(ledger, clock, make_entry, 50, seed)
    ledger.close()
    give(vault_of(store), Feedback.of("request", "up", "Clear."))
    before_ms = ledger.now_ms() - 36_000_000
    archive.archive_attempts(
        vault_of(store), tmp_path / "archive", before_ms=before_ms, now_ms=ledger.now_ms()
    )
    return store


def vault_of(store: Store, master: Secret = MASTER) -> Vault:
    return Vault(store, MasterKey.of(bytes.fromhex(master.reveal())))


Back = Callable[..., Created]
Restore = Callable[..., Restored]


@pytest.fixture
def back_up(source: Store, loaded: configuration.Loaded, tmp_path: Path) -> Back:
    """Make a backup of the source in the folder ``backups``."""

    def make(to: Path = tmp_path / "backups") -> Created:
        return snapshot.create(
            source,
            vault_of(source),
            loaded,
            to=to,
            passphrase=PASSPHRASE,
            master=MASTER,
            archives=tmp_path / "archive",
        )

    return make


@pytest.fixture
def restore_into(loaded: configuration.Loaded, tmp_path: Path) -> Restore:
    """Restore a backup into a database, with the folders beside ``home``."""

    def run(
        file: Path, database: str | None = None, passphrase: Secret = PASSPHRASE, **given: object
    ) -> Restored:
        home = tmp_path / "home"
        place = RestorePlace(database or str(home / "supernova.db"), home, home / "config")
        found = inspect(file, passphrase)
        return restore(file, passphrase, found, place, loaded, **({"environ": {}} | given))  # type: ignore[arg-type]

    return run


def contents(store: Store, *, without: tuple[str, ...] = ()) -> dict[str, set[object]]:
    """Return all rows of all tables that a backup has."""
    tables: list[type[Table]] = [t for t in snapshot.SAVED if t._meta.table_name not in without]
    return {table._meta.table_name: set(map(repr, rows(store, table))) for table in tables}


def no_temporary_files(folder: Path) -> bool:
    """Say whether no restore or backup left anything unfinished there."""
    names = [name for _, folders, files in os.walk(folder) for name in (*folders, *files)]
    return not [name for name in names if name.endswith(".partial") or ".restore-" in name]
