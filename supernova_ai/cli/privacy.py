"""``supernova privacy``: export the data of a user, and erase the user's identity."""

from __future__ import annotations

from typing import Annotated

import typer

from supernova_ai.characters import counted
from supernova_ai.cli.options import (
    ArchiveFolder,
    ConfigPath,
    Confirmed,
    archive_folder,
    load,
    print_json,
    vault_for,
)
from supernova_ai.log.setup import pseudonym, use_user_key
from supernova_ai.store import Store, log_user_key
from supernova_ai.upkeep import privacy

app = typer.Typer(help="Export the data of one user, or erase the user's identity.", no_args_is_help=True)

User = Annotated[str, typer.Option("--user", "-u", help="The user's id, as in calls.")]


@app.command()
def export(user: User, config: ConfigPath = None, folder: ArchiveFolder = None) -> None:
    """Print every row of a user as JSON, by table, with conversations decrypted by the master key."""
    with Store(load(config).database) as store:
        vault = vault_for(store)
        found = privacy.export_user(vault, user, folder=archive_folder(folder))
    print_json(found)


@app.command("log-name")
def log_name(
    user: Annotated[str, typer.Argument(help="The id of a user or session, as in calls.")],
    config: ConfigPath = None,
) -> None:
    """Print the hash that stands for a user or session in logs."""
    with Store(load(config).database) as store:
        use_user_key(store.write(log_user_key).result())
    typer.echo(pseudonym(user))


@app.command()
def erase(
    user: User, config: ConfigPath = None, folder: ArchiveFolder = None, yes: Confirmed = False
) -> None:
    """Replace a user's id by a pseudonym everywhere, without changing sums or hash chains."""
    loaded = load(config)
    if not yes:
        typer.confirm(f"Erase the identity of {user!r} from all records, for ever?", abort=True)
    with Store(loaded.database) as store:
        vault = vault_for(store)
        done = privacy.erase_user(vault, user, folder=archive_folder(folder), now_ms=store.now_ms())
    for table, rows in done.rows.items():
        typer.echo(f"{rows:>12,} {table}")
    typer.echo(f"the user is now {done.pseudonym}; no record links it to the id")
    if done.restored:
        typer.echo(f"restored {counted(len(done.restored), 'archive')}: run 'supernova ledger archive' again")
    for name in done.left:
        typer.echo(f"{name} still names the user: delete it, unless 'supernova ledger archive' is running")
    if any(budget.user == user for budget in loaded.config.budgets):
        typer.echo("the configuration has a budget of the user: remove it")
    typer.echo("run 'supernova ledger vacuum' to erase the data from the disk too; check backups and logs")
