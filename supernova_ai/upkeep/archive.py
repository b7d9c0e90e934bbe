"""Archives: old attempts move from the table into files; windows and rollups stay in the database.

The files are written and synced first, while others write to the database. Then one short transaction
deletes the rows, compares them with those in the file, and writes the manifest into the journal. So after a
crash each row is either in the table or in one archive that the journal names. A file that the journal does
not name is left over from a crash: its rows are in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from peewee import Database

from supernova_ai.errors import InvalidRequest, StoreError
from supernova_ai.keys.audited_store import AuditedStore, Record
from supernova_ai.store import bulk
from supernova_ai.store.tables import AttemptRow, JournalRow
from supernova_ai.upkeep import archive_files
from supernova_ai.upkeep.archive_files import Manifest

ROWS = 500
"""The most rows of one archive: holds and ends wait while that many are deleted or put back."""

_MADE, _RESTORED = "archive.made", "archive.restored"
_COLUMNS = bulk.columns(AttemptRow)
_ORDER = ("started_ms", "id")
_OLD = "state <> 'held' AND ended_ms < ? AND started_ms < ?"  # the latter has an index


def archive_attempts(
    vault: AuditedStore,
    folder: Path,
    *,
    before_ms: int,
    now_ms: int,
    rows: int = ROWS,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> list[Manifest]:
    """Move the attempts that ended before a time, never open holds, from the database into the folder.

    Args:
        before_ms: Unix milliseconds.
        rows: the most attempts of one file.
        on_progress: called after each file with how many attempts were moved, and of how many.

    Raises:
        StoreError: a file cannot be written, or rows changed meanwhile. Attempts that are in no archive are
            still in the table.
    """
    made: list[Manifest] = []
    select = f"SELECT COUNT(*) FROM attempt WHERE {_OLD}"  # noqa: S608 - names of ours
    ((total,),) = vault.store.read(lambda db: bulk.run(db, select, before_ms, before_ms).fetchall())
    done, last = 0, None
    while page := vault.store.read(partial(_oldest, before_ms=before_ms, after=last, rows=rows)):
        made.append(_archive(vault, folder, page, before_ms, now_ms))
        done, last = done + len(page), _position(page[-1])
        on_progress(done, total)
    return made


def restore_attempts(vault: AuditedStore, file: Path, *, now_ms: int) -> int:
    """Put the rows of an archive back after checking its hashes; return how many, 0 if they are back already.

    Raises:
        InvalidRequest: this ledger made no such archive.
        StoreError: the file is missing or damaged.
    """
    manifest = vault.store.read(lambda database: _to_restore(database, file.name))
    if manifest is None:
        return 0
    if reason := archive_files.find_damage(manifest, file.parent):
        raise StoreError(f"archive {file} cannot be restored: {reason}. Use an undamaged copy of it.")
    rows = [tuple(row[name] for name in _COLUMNS) for row in archive_files.read_rows(file)]

    def operation(database: Database, record: Record) -> int:
        if _to_restore(database, file.name) is None:
            return 0
        bulk.insert(database, AttemptRow, rows)
        _write_journal(database, _RESTORED, now_ms, before=file.name, reason="restored")
        record("ledger.restored", file.name, {"rows": len(rows)})
        return len(rows)

    return vault.audited(operation)


def current_archives(database: Database) -> dict[str, Manifest]:
    """Return the archives whose rows are not in the table, by file name, oldest first."""
    found: dict[str, Manifest] = {}
    for event, before, after in _events(database):
        if event == _RESTORED:
            del found[before]
        else:
            manifest = Manifest.parse(after)
            found[manifest.file] = manifest
    return found


def left_over(database: Database, folder: Path, store: str) -> list[Path]:
    """Return the archives of this store in the folder that its journal never named."""
    known = {Manifest.parse(after).file for event, _, after in _events(database) if event == _MADE}
    return sorted(file for file in archive_files.archives_of(folder, store) if file.name not in known)


def _oldest(database: Database, *, before_ms: int, after: bulk.Row | None, rows: int) -> list[bulk.Row]:
    """Return the oldest rows after that position, beyond the index entries of those already deleted."""
    arguments = (before_ms, before_ms)
    pages = bulk.pages(
        database, AttemptRow, order=_ORDER, where=_OLD, arguments=arguments, after=after, size=rows
    )
    return next(pages, [])


def _position(row: bulk.Row) -> bulk.Row:
    return tuple(row[_COLUMNS.index(name)] for name in _ORDER)


def _archive(
    vault: AuditedStore, folder: Path, rows: list[bulk.Row], before_ms: int, now_ms: int
) -> Manifest:
    file = archive_files.new_path(folder, vault.store.id, rows)
    try:
        manifest = archive_files.write_archive(file, rows, before_ms)
        vault.audited(lambda database, record: _delete(database, record, rows, manifest, now_ms))
    except (OSError, _Changed) as error:  # after another error the rows may be deleted: keep the files
        archive_files.delete_archive(file)
        raise StoreError(
            f"attempts cannot be archived in {folder}: {error}. No row of this archive was deleted: make "
            f"the folder writable with room in it, or name another, and archive again."
        ) from error
    return manifest


class _Changed(Exception):
    """The rows differ from the file; the transaction rolls their deletion back."""


def _delete(
    database: Database, record: Record, rows: list[bulk.Row], manifest: Manifest, now_ms: int
) -> None:
    """Delete the rows if they are still as they were written, and write the journal."""
    deleted = bulk.run(
        database,
        f"DELETE FROM attempt WHERE {_OLD} "  # noqa: S608 - names of ours
        f"AND (started_ms, id) >= (?, ?) AND (started_ms, id) <= (?, ?) RETURNING {', '.join(_COLUMNS)}",
        manifest.before_ms,
        manifest.before_ms,
        *_position(rows[0]),
        *_position(rows[-1]),
    ).fetchall()
    if set(deleted) != set(rows):
        raise _Changed("some attempts changed meanwhile")
    reason = f"ended before {manifest.before_ms}"
    _write_journal(database, _MADE, now_ms, after=manifest.text(), reason=reason)
    record("ledger.archived", manifest.file, {"rows": manifest.rows, "before_ms": manifest.before_ms})


def _to_restore(database: Database, name: str) -> Manifest | None:
    """Return the manifest of the archive, or None if its rows are back."""
    manifest = current_archives(database).get(name)
    if manifest is None and not any(
        event == _RESTORED and before == name for event, before, _ in _events(database)
    ):
        raise InvalidRequest(f"this ledger made no archive {name!r}: its journal does not name it")
    return manifest


def _events(database: Database) -> list[tuple[str, str, str]]:
    query = JournalRow.select(JournalRow.event, JournalRow.before, JournalRow.after)
    query = query.where(JournalRow.event.in_([_MADE, _RESTORED])).order_by(JournalRow.id)
    return list(query.tuples().execute(database))


def _write_journal(
    database: Database, event: str, now_ms: int, *, before: str = "", after: str = "", reason: str
) -> None:
    JournalRow.insert(at_ms=now_ms, event=event, before=before, after=after, reason=reason).execute(database)
