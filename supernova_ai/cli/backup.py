"""``supernova backup``: make, list, verify, restore and prune encrypted backups."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from supernova_ai import config as configuration
from supernova_ai.characters import counted
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    archive_folder,
    flag,
    load,
    print_json,
    vault_for,
)
from supernova_ai.config import Loaded
from supernova_ai.config.environments import default_database
from supernova_ai.config.fields import mask
from supernova_ai.config.operations import Keep
from supernova_ai.errors import InvalidRequest
from supernova_ai.money import to_usd
from supernova_ai.operations.backup import passphrase as passphrases
from supernova_ai.operations.backup import retention, snapshot
from supernova_ai.operations.backup.comparison import RestorePlace, compare, existing, time_of
from supernova_ai.operations.backup.inspection import Inspection, inspect
from supernova_ai.operations.backup.restore import restore as restore_backup
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.terminal import backup_lines
from supernova_ai.terminal.output import Terminal

app = typer.Typer(help="Make, list, verify, restore or prune encrypted backups.", no_args_is_help=True)

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file with the passphrase, which only you may read.",
        show_default="backup.passphrase_file, else a prompt or standard input",
    ),
]
File = Annotated[Path, typer.Argument(help="The backup, a .backup file.")]


def _existing(folder: Path | None) -> Path | None:
    if folder and not folder.expanduser().is_dir():
        raise typer.BadParameter(f"there is no folder {folder}")
    return folder


Folder = Annotated[
    Path | None,
    typer.Argument(
        help="The folder of the backups.",
        callback=_existing,
        show_default="backup.to, else 'backups' in the data folder",
    ),
]


@app.command()
def create(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="A folder, or a new file: a name with a dot, unless there is such a folder.",
            show_default="backup.to, else 'backups' in the data folder",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    archives: Annotated[
        bool,
        typer.Option("--archives/--no-archives", help="Include the files of 'supernova ledger archive'."),
    ] = True,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Back up database, configuration, prompts and master key into one encrypted file."""
    loaded = load(config)
    secret = _passphrase(loaded, passphrase_file, confirm=True)
    with Store(loaded.database) as store, Terminal(stderr=True).bar("Writing rows") as progress:
        made = snapshot.create(
            store,
            vault_for(store),
            loaded,
            to=to or _folder(loaded),
            is_folder=to is None,
            passphrase=secret,
            master=snapshot.master_of(store, configuration.read_environ()),
            archives=archive_folder(None) if archives else None,
            on_progress=progress,
        )
    if json:
        print_json(made)
        return
    rows = sum(made.manifest.rows.values())
    typer.echo(
        f"{made.file}: {counted(rows, 'row')}, {counted(len(made.manifest.files), 'file')}, "
        f"{made.size:,} bytes"
    )
    if archives:
        for name in made.manifest.missing:
            typer.echo(
                f"the archive {name} is missing in {archive_folder(None)}, and so in the backup", err=True
            )
    typer.echo("Keep it on another disk, and its passphrase where this machine's loss cannot take it along.")


@app.command("list")
def list_(folder: Folder = None, config: ConfigPath = None, json: AsJson = False) -> None:
    """List the backups in a folder, oldest first, without their passphrase."""
    place = folder or _folder(load(config, strict=False))
    found = retention.backups_in(place)
    if json:
        print_json(found)
        return
    for one in found:
        typer.echo(f"{one.created.astimezone():%Y-%m-%d %H:%M:%S}  {one.size:>14,}  {one.file}")
    if not found:
        typer.echo(f"no backups in {place}")


@app.command()
def verify(
    file: File, passphrase_file: PassphraseFile = None, config: ConfigPath = None, json: AsJson = False
) -> None:
    """Decrypt a backup to its end and check all of it, and that its master key opens its keys."""
    loaded = load(config, strict=False)
    found = _inspect(file, _passphrase(loaded, passphrase_file))
    if json:
        print_json({"manifest": found.manifest, "keys": found.keys, "opened": found.opened})
        return
    for name, count in found.manifest.rows.items():
        if count:
            typer.echo(f"{count:>12,} {name}")
    typer.echo(f"{len(found.files):>12,} files")
    typer.echo(backup_lines.master_of(found))
    for name in found.manifest.missing:
        typer.echo(f"it does not have the archive {name}")
    typer.echo(f"the backup of {time_of(found)}, environment {found.manifest.environment}, is whole")


@app.command()
def restore(
    file: File,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            help="A folder for everything, or the database postgresql://…",
            show_default="the configured database and the data folder",
        ),
    ] = None,
    preview: Annotated[bool, flag("--preview", help="Only show what would change.")] = False,
    replace: Annotated[
        bool, flag("--replace", help="Replace data and files that are there, after saving them as a backup.")
    ] = False,
    yes: Confirmed = False,
    master_to: Annotated[
        Literal["file", "keyring", "none"] | None,
        typer.Option(
            help="Where the master key goes: master.key in the data folder, the OS keyring, nowhere.",
            show_default="the file, unless this machine has the key",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Restore database, configuration, prompts and master key from a backup."""
    loaded = load(config, strict=False)
    secret = _passphrase(loaded, passphrase_file)
    found = _inspect(file, secret)
    place = _place(loaded, into, found)
    if preview:
        _preview(loaded, place, found, json=json)
        return
    if replace and not yes:
        typer.confirm(
            f"Replace what is in {mask(place.database)} by the backup of {time_of(found)}?", abort=True
        )
    with Terminal(stderr=True).bar("Restoring rows") as progress:
        done = restore_backup(
            file,
            secret,
            found,
            place,
            loaded,
            replace=replace,
            master_to=master_to,
            environ=configuration.read_environ(),
            on_progress=progress,
        )
    if json:
        print_json(
            {"manifest": found.manifest, "files": done.files, "saved": done.saved, "master": done.master}
        )
        return
    for line in backup_lines.restored(done, place, loaded, into):
        typer.echo(line)


@app.command()
def prune(
    folder: Folder = None,
    daily: Annotated[
        int | None,
        typer.Option(min=0, help="Keep one of each of so many days.", show_default="backup.keep.daily"),
    ] = None,
    weekly: Annotated[
        int | None, typer.Option(min=0, help="The same for weeks.", show_default="backup.keep.weekly")
    ] = None,
    monthly: Annotated[
        int | None, typer.Option(min=0, help="The same for months.", show_default="backup.keep.monthly")
    ] = None,
    yes: Confirmed = False,
    config: ConfigPath = None,
) -> None:
    """Delete the backups of this database that are not kept; never the last one, nor any other file."""
    loaded = load(config)
    kept = loaded.config.backup.keep
    keep = Keep(
        daily=kept.daily if daily is None else daily,
        weekly=kept.weekly if weekly is None else weekly,
        monthly=kept.monthly if monthly is None else monthly,
    )
    place = folder or _folder(loaded)
    with Store(loaded.database) as store:
        found = [one for one in retention.backups_in(place) if one.store == store.id]
        superfluous = retention.superfluous(found, keep)
        for one in superfluous:
            typer.echo(f"{one.created.astimezone():%Y-%m-%d %H:%M:%S}  {one.file}")
        if superfluous and not yes:
            typer.confirm(f"Delete these {counted(len(superfluous), 'backup')}?", abort=True)
        deleted = retention.prune(place, store.id, vault_for(store), keep)
    typer.echo(f"deleted {len(deleted)} of {counted(len(found), 'backup')} of this database")


def _inspect(file: Path, passphrase: Secret) -> Inspection:
    with Terminal(stderr=True).bar("Checking rows") as progress:
        return inspect(file, passphrase, on_progress=progress)


def _folder(loaded: Loaded) -> Path:
    return loaded.config.backup.to or configuration.data_folder(configuration.read_environ()) / "backups"


def _passphrase(loaded: Loaded, file: Path | None, *, confirm: bool = False) -> Secret:
    if file := file or loaded.config.backup.passphrase_file:
        return passphrases.read_file(file)
    if sys.stdin.isatty():
        return passphrases.checked(
            typer.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=confirm)
        )
    return passphrases.checked(sys.stdin.readline())


def _place(loaded: Loaded, into: str | None, found: Inspection) -> RestorePlace:
    data = configuration.data_folder(configuration.read_environ())
    folder = loaded.prompts[0].parent if loaded.prompts else Path("config")
    if into is None:
        theirs, ours = found.manifest.environment, loaded.config.environment
        if theirs != ours:
            raise InvalidRequest(
                f"the backup is of environment {theirs!r}, and {ours!r} is in force: set "
                f"SUPERNOVA_ENV={theirs}, or say with --into where to restore it"
            )
        return RestorePlace(loaded.database, data, folder)
    if not into.strip():
        raise InvalidRequest("--into is empty: name a folder, or postgresql://…")
    if "://" in into:
        return RestorePlace(into, data, folder)
    home = Path(into).expanduser()
    return RestorePlace(str(default_database(home, found.manifest.environment)), home, home / "config")


def _preview(loaded: Loaded, place: RestorePlace, found: Inspection, *, json: bool) -> None:
    with existing(place) as store:
        changes = compare(store, loaded, place, found)
    if json:
        later, windows = changes.later._asdict(), changes.windows.items()
        later["cost"] = to_usd(later.pop("nano"))
        spent = {name: [None if one is None else to_usd(one) for one in pair] for name, pair in windows}
        shown = asdict(changes) | {"later": later, "windows": spent}
        print_json({"manifest": found.manifest, "changes": shown})
        return
    for line in backup_lines.preview(changes, found, place):
        typer.echo(line)
