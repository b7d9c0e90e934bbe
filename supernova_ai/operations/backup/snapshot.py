"""Make a backup: one consistent state of the database while others use it, and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peewee import Database, fn

from supernova_ai.config import Loaded
from supernova_ai.errors import BackupError, MasterKeyError, SupernovaError
from supernova_ai.keys import MasterKey, Vault, records
from supernova_ai.keys.master_sources import reveal
from supernova_ai.operations.backup.container import Cost
from supernova_ai.operations.backup.contents import MASTER, TABLE, Manifest, Writer
from supernova_ai.operations.backup.destination import CREATED, new_backup
from supernova_ai.paths import new_file
from supernova_ai.secret import Secret, redact
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import snapshot
from supernova_ai.store.schema import latest_migration
from supernova_ai.store.tables import (
    TABLES,
    AttemptRow,
    AuditRow,
    LeaderRow,
    LinkRow,
    ProcessRow,
    Table,
)
from supernova_ai.upkeep import archive

COST = Cost()

SAVED: tuple[type[Table], ...] = tuple(table for table in TABLES if table not in (ProcessRow, LeaderRow))
"""All tables but the leases: the processes that hold them now will not when the backup is restored."""


@dataclass(frozen=True, slots=True)
class Created:
    """A backup that was made: its file, its size in bytes, and what it contains."""

    file: Path
    size: int
    manifest: Manifest


def create(
    store: Store,
    vault: Vault,
    loaded: Loaded,
    *,
    to: Path,
    is_folder: bool = False,
    passphrase: Secret,
    master: Secret | None,
    archives: Path | None = None,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Created:
    """Write an encrypted backup, and record it in the audit. The database may be in use.

    Args:
        to: a new file, or a folder, in which the file is named after the store and the time. A name with a
            dot is a file, unless there is such a folder.
        is_folder: it is a folder, whatever its name.
        master: the store's master key, in hex; None only if it has none.
        archives: the folder of the ledger's archives; None leaves their files out.
        on_progress: called with how many rows and files are written, and of how many.

    Raises:
        BackupError: the file cannot be written, exists, or another backup is being made there.
        MasterKeyError: the audit cannot be signed.
        StoreError: the database cannot be read.
    """

    def publish(partial: Path, file: Path, manifest: Manifest) -> None:
        if (master and MasterKey.of(bytes.fromhex(master.reveal())).id) != manifest.master_id:
            raise BackupError("the master key was changed just now: try again")
        size, rows = partial.stat().st_size, sum(manifest.rows.values())
        details: dict[str, str | int] = {"bytes": size, "rows": rows, "written_as": partial.name}
        vault.audited(lambda _, record: record(CREATED, file.name, details))

    try:
        return _make(store, loaded, to, is_folder, passphrase, master, archives, publish, on_progress)
    except (SupernovaError, OSError) as error:
        reason = redact(str(error))
        with suppress(SupernovaError):
            vault.audited(lambda _, record: record(CREATED, str(to), {}, f"failed: {reason}"))
        if isinstance(error, SupernovaError):
            raise
        raise BackupError(f"the backup cannot be written to {to}: {error.strerror or error}") from error


def save_aside(
    store: Store, loaded: Loaded, folder: Path, passphrase: Secret, environ: Mapping[str, str]
) -> Created:
    """Write a backup of a database that is about to be replaced; without its master key if nobody has it.

    Raises:
        BackupError: the file cannot be written.
        StoreError: the database cannot be read.
    """
    master = None
    with suppress(MasterKeyError):
        master = master_of(store, environ)
    try:
        return _make(store, loaded, folder, True, passphrase, master, None, lambda *_: None)
    except OSError as error:
        raise BackupError(f"the backup cannot be written to {folder}: {error.strerror or error}") from error


def _make(
    store: Store,
    loaded: Loaded,
    to: Path,
    is_folder: bool,
    passphrase: Secret,
    master: Secret | None,
    archives: Path | None,
    publish: Callable[[Path, Path, Manifest], object],
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Created:
    with new_backup(to, store, is_folder=is_folder) as (partial, file):
        manifest = _write(partial, store, loaded, passphrase, master, archives, on_progress)
        publish(partial, file, manifest)
    return Created(file, file.stat().st_size, manifest)


def master_of(store: Store, environ: Mapping[str, str]) -> Secret | None:
    """Return the store's master key in hex, None if it has none yet.

    Raises:
        MasterKeyError: it has one, and no source gives it.
    """
    return reveal(store, environ=environ)[0] if store.read(records.master_id) else None


def _write(
    path: Path,
    store: Store,
    loaded: Loaded,
    passphrase: Secret,
    master: Secret | None,
    archives: Path | None,
    on_progress: Callable[[int, int], object],
) -> Manifest:
    files = _configuration(loaded)

    def operation(database: Database) -> Manifest:
        with snapshot(database), new_file(path) as file:
            found, missing = _archived(database, archives)
            manifest = _describe(database, store, loaded, (*files, *found), missing)
            writer = Writer(file, passphrase, manifest, COST)
            done, total = 0, sum(manifest.rows.values()) + len(manifest.files)

            def pages(table: type[Table]) -> Iterator[list[bulk.Row]]:
                nonlocal done
                for page in bulk.pages(database, table):
                    yield page
                    done += len(page)
                    on_progress(done, total)

            if master is not None:
                writer.add(MASTER, ["hex"], [(master.reveal(),)])
            for table in SAVED:
                rows = (row for page in pages(table) for row in page)
                writer.add(TABLE + table._meta.table_name, bulk.columns(table), rows)
            for name, source in (files | found).items():
                with source.open("rb") as content:
                    writer.add_file(name, content)
                done += 1
                on_progress(done, total)
            writer.finish()
        return manifest

    return store.read(operation)


def heads(database: Database) -> dict[str, Any]:
    """Return how far the ledger, the audit and the advice have come."""
    ((attempts, last_ms),) = (
        AttemptRow.select(fn.COUNT(AttemptRow.id), fn.MAX(AttemptRow.started_ms)).tuples().execute(database)
    )
    audit = AuditRow.select(AuditRow.number, AuditRow.mac).order_by(AuditRow.number.desc()).limit(1)
    advice = LinkRow.select(LinkRow.number, LinkRow.hash).where(LinkRow.name == "head")
    return {
        "ledger": {"attempts": attempts, "last_ms": last_ms},
        "audit": next(map(list, audit.tuples().execute(database)), None),
        "advice": next(map(list, advice.tuples().execute(database)), None),
    }


def count_rows(database: Database) -> dict[str, int]:
    """Return the number of rows of each table that a backup has."""
    return {table._meta.table_name: table.select().count(database) for table in SAVED}


def _describe(
    database: Database, store: Store, loaded: Loaded, files: tuple[str, ...], missing: tuple[str, ...]
) -> Manifest:
    return Manifest(
        package=version("supernova-ai"),
        store=store.id,
        created_ms=store.now_ms(),
        environment=loaded.config.environment,
        schema=latest_migration(database),
        master_id=records.master_id(database),
        heads=heads(database),
        rows=count_rows(database),
        settings=loaded.config.shown(),
        files=files,
        missing=missing,
    )


def _configuration(loaded: Loaded) -> dict[str, Path]:
    """Return the YAML files and the templates by their names in the backup; ``.env`` is not one of them."""
    if not loaded.prompts:
        return {}
    folder = loaded.prompts[0].parent
    bases = [Path(source) for source in loaded.sources if Path(source).parent == folder]
    found = [*bases, *sorted(folder.glob("environments/*.yaml")), *sorted(folder.glob("prompts/**/*.md"))]
    return {f"config/{file.relative_to(folder).as_posix()}": file for file in found if file.is_file()}


def _archived(database: Database, folder: Path | None) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the files of the ledger's archives by their names in the backup, and those that are missing."""
    found: dict[str, Path] = {}
    missing = []
    for manifest in archive.current_archives(database).values():
        for name in (manifest.file, manifest.file.removesuffix(".jsonl.gz") + ".json"):
            if folder and (folder / name).is_file():
                found[f"archive/{name}"] = folder / name
            else:
                missing.append(name)
    return found, tuple(missing)
