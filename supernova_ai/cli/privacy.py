"""``supernova privacy``: hand out what is known of a user, and forget who they were."""

from __future__ import annotations

from typing import Annotated

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import ArchiveFolder, ConfigPath, archives, flag, print_json
from supernova_ai.keys import Vault, resolve
from supernova_ai.store import Store
from supernova_ai.upkeep import privacy

app = typer.Typer(help="One user's data: export it, or erase who it is of.", no_args_is_help=True)

User = Annotated[str, typer.Option("--user", "-u", help="The user's id, as it is in calls.")]


@app.command()
def export(user: User, config: ConfigPath = None, folder: ArchiveFolder = None) -> None:
    """Print every row of a user as JSON, by table; sessions are opened with the master key."""
    with Store(configuration.load(config).database) as store:
        vault = Vault(store, lambda: resolve(store, environ=configuration.read_environ()))
        found = privacy.export_user(store, user, folder=archives(folder), vault=vault)
    print_json(found)


@app.command()
def erase(
    user: User,
    config: ConfigPath = None,
    folder: ArchiveFolder = None,
    yes: Annotated[bool, flag("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a pseudonym in a user's place everywhere; sums and chains stay as they are."""
    loaded = configuration.load(config)
    if not yes:
        typer.confirm(f"Forget for ever who {user!r} is, in all that was ever recorded?", abort=True)
    with Store(loaded.database) as store:
        done = privacy.erase_user(store, user, folder=archives(folder), now_ms=store.now_ms())
    for table, rows in done.rows.items():
        typer.echo(f"{rows:>12,} {table}")
    typer.echo(f"the user is {done.pseudonym} now, and nothing says who that was")
    if done.restored:
        typer.echo(
            f"{len(done.restored)} archives came back: run 'supernova ledger archive' to make them anew"
        )
    for name in done.left:
        typer.echo(f"{name} still names the user: delete it, unless an archive run is under way just now")
    typer.echo("run 'supernova ledger vacuum' so that the disk forgets too, and mind your backups and logs")
