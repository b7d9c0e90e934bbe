"""``supernova privacy``: export the data of a user, and erase the user's identity."""

from __future__ import annotations

from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import ArchiveFolder, ConfigPath, Confirmed, archive_folder, print_json
from supernova_ai.keys import Vault, resolve
from supernova_ai.store import Store
from supernova_ai.upkeep import privacy

app = typer.Typer(help="Export the data of one user, or erase the user's identity.", no_args_is_help=True)

User = Annotated[str, typer.Option("--user", "-u", help="The user's id, as in calls.")]


@app.command()
def export(user: User, config: ConfigPath = None, folder: ArchiveFolder = None) -> None:
    """Print every row of a user as JSON, by table, with conversations decrypted by the master key."""
    with Store(configuration.load(config).database) as store:
        vault = Vault(store, lambda: resolve(store, environ=configuration.read_environ()))
        found = privacy.export_user(store, user, folder=archive_folder(folder), vault=vault)
    print_json(found)


@app.command()
def erase(
    user: User, config: ConfigPath = None, folder: ArchiveFolder = None, yes: Confirmed = False
) -> None:
    """Replace a user's id by a pseudonym everywhere, without changing sums or hash chains."""
    loaded = configuration.load(config)
    if not yes:
        typer.confirm(f"Erase the identity of {user!r} from all records, for ever?", abort=True)
    with Store(loaded.database) as store:
        done = privacy.erase_user(store, user, folder=archive_folder(folder), now_ms=store.now_ms())
    for table, rows in done.rows.items():
        typer.echo(f"{rows:>12,} {table}")
    typer.echo(f"the user is now {done.pseudonym}; no record links it to the id")
    if done.restored:
        typer.echo(
            f"{len(done.restored)} archives were restored: archive them again with 'supernova ledger archive'"
        )
    for name in done.left:
        typer.echo(f"{name} still names the user: delete it, unless 'supernova ledger archive' is running")
    typer.echo("run 'supernova ledger vacuum' to erase the data from the disk too; check backups and logs")
