"""``supernova dashboard users``: who may sign in with a password, which is never an argument."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from peewee import Database

from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Confirmed,
    console,
    load,
    print_json,
    read_text,
    vault_for,
)
from supernova_ai.config.dashboard import RoleName
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Role
from supernova_ai.keys.audited_store import Record
from supernova_ai.store import Store
from supernova_ai.terminal import inventory_tables

app = typer.Typer(help="Add, list, change or remove users of the dashboard.", no_args_is_help=True)

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
GivenRole = Annotated[RoleName, typer.Option("--role", help="What the user may do.", show_default=False)]


@app.command("list")
def list_(config: ConfigPath = None, json: AsJson = False) -> None:
    """List the users with their roles and states."""
    with Store(load(config).database) as store:
        now_ms = store.now_ms()
        found = [user.shown(now_ms) for user in store.read(users.every_user).values()]
    if json:
        print_json(found)
    elif found:
        console.print(inventory_tables.dashboard_users(found))
    else:
        typer.echo("no users yet: supernova dashboard users add <name> --role viewer")


@app.command()
def add(name: UserName, role: GivenRole, config: ConfigPath = None) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    users.check_name(name)
    hashed = _read_password(name)
    _change(
        config,
        partial(users.add, name=name, role=Role[role.upper()], password_hash=hashed),
    )
    typer.echo(f"added {name} as {role}")


@app.command("set-password")
def set_password(name: UserName, config: ConfigPath = None) -> None:
    """Replace a user's password, and end the user's sessions."""
    hashed = _read_password(name)
    _change(
        config,
        partial(users.set_password, name=name, password_hash=hashed),
    )
    typer.echo(f"{name} has a new password, and must sign in again")


@app.command("set-role")
def set_role(
    name: UserName,
    role: Annotated[RoleName, typer.Argument(help="What the user may do.", show_default=False)],
    config: ConfigPath = None,
) -> None:
    """Give a user another role, and end the user's sessions."""
    _change(
        config,
        partial(users.set_role, name=name, role=Role[role.upper()]),
    )
    typer.echo(f"{name} is {role} now, and must sign in again")


@app.command()
def disable(name: UserName, config: ConfigPath = None) -> None:
    """Let a user sign in no more, and end the user's sessions."""
    _change(config, partial(users.disable, name=name))
    typer.echo(f"disabled {name}")


@app.command()
def unlock(name: UserName, config: ConfigPath = None) -> None:
    """Let a user sign in again who is disabled, or locked after wrong passwords."""
    _change(config, partial(users.unlock, name=name))
    typer.echo(f"{name} may sign in")


@app.command()
def remove(name: UserName, config: ConfigPath = None, yes: Confirmed = False) -> None:
    """Remove a user, and end the user's sessions."""
    if not yes:
        typer.confirm(f"Remove {name}?", abort=True)
    _change(config, partial(users.remove, name=name))
    typer.echo(f"removed {name}")


def _change(config: Path | None, change: Callable[[Database, Record, int], None]) -> None:
    """Make an audited change; its last argument is the time in Unix milliseconds."""
    with Store(load(config).database) as store:
        vault_for(store).audited(lambda database, record: change(database, record, store.now_ms()))


def _read_password(name: str) -> str:
    """Return the hash of a password from a prompt or standard input."""
    from supernova_ai.dashboard.passwords import Passwords

    if sys.stdin.isatty():
        password = typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    else:
        password = read_text(None).removesuffix("\n").removesuffix("\r")
    return Passwords().hash(password)
