"""Restore a backup: the database in one transaction, on either engine, and then the files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from peewee import Database

from supernova_ai.audit import Actor, current_actor
from supernova_ai.audit.chain import Chain
from supernova_ai.config import Loaded
from supernova_ai.config.fields import mask
from supernova_ai.errors import BackupError, MasterKeyError, StoreError
from supernova_ai.keys import MasterKey, resolve
from supernova_ai.keys.keyring_entry import KeyringEntry
from supernova_ai.keys.master_files import USUAL_FILE
from supernova_ai.keys.master_sources import KEYRING_TIMEOUT
from supernova_ai.ledger import leases
from supernova_ai.operations.backup.comparison import Comparison, RestorePlace, changes, compare
from supernova_ai.operations.backup.contents import FILE, MASTER, TABLE, Part, Reader
from supernova_ai.operations.backup.inspection import Inspection, read_master
from supernova_ai.operations.backup.pending import PendingFiles, one_restore
from supernova_ai.operations.backup.snapshot import save_aside
from supernova_ai.operations.jobs.leader import current_holder
from supernova_ai.secret import Secret
from supernova_ai.store import Store, bulk
from supernova_ai.store.engines import continue_numbers
from supernova_ai.store.schema import migrate, recreate
from supernova_ai.store.tables import TABLES, ProcessRow

MasterTo = Literal["file", "keyring", "none"]

_TABLES = {table._meta.table_name: table for table in TABLES}
_COLUMN = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    ``saved`` is the backup of what was there before, if anything was. ``master`` is the file that got the
    master key, if one did; ``master_note`` says where the key is.
    """

    found: Inspection
    before: Comparison
    files: tuple[Path, ...]
    saved: Path | None
    master: Path | None
    master_note: str


def restore(
    path: Path,
    passphrase: Secret,
    found: Inspection,
    place: RestorePlace,
    loaded: Loaded,
    *,
    replace: bool = False,
    master_to: MasterTo | None = None,
    environ: Mapping[str, str],
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> Restored:
    """Restore a backup into a place. A crash leaves all as before, or all restored.

    Args:
        found: what ``inspect`` found in the backup: all of it was checked.
        loaded: the present configuration.
        replace: replace a database with data in it, or files that differ, after saving both as a backup.
        master_to: where the master key goes; None is into a file, unless this machine has it already.
        environ: the environment variables to look for the master key in.
        on_progress: called on another thread with how many rows are restored, and of how many.

    Raises:
        BackupError: the backup is damaged, or something is there and ``replace`` is not set.
        MasterKeyError: the keyring cannot be used, and the master key should go into it.
        StoreError: the database cannot be used, or another process uses it.
    """
    keyring = KeyringEntry(found.manifest.store, backend=None, timeout=KEYRING_TIMEOUT)
    if master_to == "keyring":
        keyring.get()  # one that cannot be used is reported before anything changes
    with one_restore(place.data):
        with Store(place.database) as store:
            store.write(lambda database: _require_unused(database, store.now_ms())).result()
            before = compare(store, loaded, place, found)
            saved = None
            if before.loses:
                _require_permission(before.loses, replace=replace)
                saved = save_aside(store, loaded, place.data / "backups", passphrase, environ).file
            files = PendingFiles(place.data, place.database)
            wanted = master_to != "none"
            work = _Restore(path, passphrase, place, found, files, wanted, store.now_ms(), on_progress)
            try:
                store.write(work.run).result()
            except Exception:
                # Not on Ctrl-C: the transaction goes on, and the next start finishes with the files.
                files.discard()
                raise
        master = work.master_file
        note = f"in {master}" if master else "not restored"
        with Store(place.database) as restored:  # opened again, because its id has changed
            # As a process will look that uses the place: another data folder has its own file.
            there = {**environ, "SUPERNOVA_HOME": str(place.data)}
            if master and master_to is None and _has_master(restored, there):
                files.drop(master)
                master, note = None, "this machine has it already"
            files.move(restored)
        if master and master_to == "keyring":
            keyring.set(Secret(master.read_text().strip()))
            master.unlink()
            master, note = None, "in the keyring"
    return Restored(found, before, tuple(files.targets), saved, master, note)


def _require_permission(loses: str, *, replace: bool) -> None:
    if not replace:
        raise BackupError(
            f"{loses}. Nothing was changed. 'supernova backup restore --preview' shows what would change; "
            f"add --replace to do it, which first saves what is there as a backup"
        )


@dataclass(slots=True)
class _Restore:
    """The operation on the database."""

    path: Path
    passphrase: Secret
    place: RestorePlace
    found: Inspection
    files: PendingFiles
    with_master: bool
    now_ms: int
    on_progress: Callable[[int, int], object]
    actor: Actor = field(default_factory=current_actor)
    master_file: Path | None = None

    def run(self, database: Database) -> None:
        _require_unused(database, self.now_ms)
        changed = changes(self.place, self.found)
        with Reader(self.path, self.passphrase) as reader:
            if reader.manifest != self.found.manifest:
                raise BackupError(f"{self.path} was replaced by another backup meanwhile")
            recreate(database, reader.manifest.schema)
            done, total = 0, sum(reader.manifest.rows.values())
            for part in reader.parts():
                if part.name == MASTER:
                    self._keep_master(part)
                elif part.name.startswith(FILE):
                    self._keep_file(part, changed)
                else:
                    for count in _insert(database, part):
                        done += count
                        self.on_progress(done, total)
        migrate(database, mask(self.place.database))
        continue_numbers(database, TABLES)
        self._audit(database)
        self.files.mark(database)

    def _audit(self, database: Database) -> None:
        """Record the restore in the restored audit."""
        manifest, master = self.found.manifest, self.found.master
        if manifest.master_id and not master:
            return  # it cannot be signed, and an unsigned row would break the chain
        chain = Chain(manifest.store, (master.audit,) if master else ())
        details = {"created_ms": manifest.created_ms, "rows": sum(manifest.rows.values())}
        first = manifest.heads["audit"] is None
        event = ("backup.restored", self.path.name, details)
        chain.append(database, self.now_ms, self.actor, *event, first=first)

    def _keep_master(self, part: Part) -> None:
        master, text = read_master(part, self.found.manifest)
        if self.with_master:
            self.master_file = _master_file(self.place.data, master, text)
            with self.files.add(self.master_file) as file:
                file.write(f"{text.reveal()}\n".encode())

    def _keep_file(self, part: Part, changed: Mapping[str, str]) -> None:
        target = self.place.of(part.name.removeprefix(FILE))
        if str(target) not in changed:
            for _ in part.rows:
                pass
            return
        with self.files.add(target) as file:
            for (piece,) in part.rows:
                file.write(piece)


def _insert(database: Database, part: Part) -> Iterator[int]:
    """Insert the rows page by page; yield the number of each."""
    name = part.name.removeprefix(TABLE)
    if name not in _TABLES or not all(map(_COLUMN.fullmatch, part.columns)):
        raise BackupError(f"it has an impossible table: {name!r}")
    for page in _pages(part.rows):
        bulk.insert(database, _TABLES[name], page, part.columns)
        yield len(page)


def _pages(rows: Iterator[bulk.Row]) -> Iterator[list[bulk.Row]]:
    while page := list(islice(rows, bulk.PAGE)):
        yield page


def _require_unused(database: Database, now_ms: int) -> None:
    """Raise if a process holds money in the database: what it spends would be missing, and its keys wrong."""
    leases.sweep(database, now_ms, lambda *_: None)
    users = [f"{row.pid} on {row.host.split()[0]}" for row in ProcessRow.select().execute(database)]
    if leader := current_holder(database):
        users.append(f"{leader.name} (supernova run)")
    if users:
        raise StoreError(
            f"the database is in use by process {', '.join(users)}: end it first. A process that crashed on "
            f"another machine counts as alive for {leases.TERM_S:.0f} s"
        )


def _master_file(data: Path, master: MasterKey, text: Secret) -> Path:
    """Return the file for the master key; a file with another master keeps its name and content."""
    usual = data / USUAL_FILE
    if usual.exists() and usual.read_text(errors="replace").strip() != text.reveal():
        return data / f"master-{master.id[:8]}.key"
    return usual


def _has_master(store: Store, environ: Mapping[str, str]) -> bool:
    try:
        resolve(store, environ=environ)
    except MasterKeyError:
        return False
    return True
