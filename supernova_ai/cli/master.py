"""``supernova keys rotate-master``: put a new master key in force. It is never printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, load, print_json, seconds
from supernova_ai.store import Store


def rotate_master(
    config: ConfigPath = None,
    to: Annotated[
        Literal["keyring", "file", "env"] | None,
        typer.Option(help="Where the new master key goes.", show_default="where it is now"),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="The file of the new master key.", show_default="the one in use"),
    ] = None,
    grace: Annotated[
        str,
        typer.Option(
            help="How long processes with the old one get the new one from the database: 0s if it leaked."
        ),
    ] = "10m",
    json: AsJson = False,
) -> None:
    """Seal everything again under a new master key, in one transaction; after a crash, run this again."""
    from supernova_ai.operations.master_rotation import rotate_master as rotate

    grace_s = seconds(grace)
    with Store(load(config).database) as store:
        done = rotate(
            store,
            to="environment" if to == "env" else to,
            file=file,
            grace_s=grace_s,
            environ=configuration.read_environ(),
        )
    if json:
        print_json(done)
        return
    if done.finished:
        typer.echo(f"finished an earlier rotation: master key {done.master_id[:8]}… is in force")
    else:
        typer.echo(
            f"master key {done.master_id[:8]}… is in force (sealed again: keys {done.keys}, "
            f"other rows {done.rows:,})"
        )
    if done.damaged:
        typer.echo(f"{done.damaged} keys or rows were damaged before, and stay so", err=True)
    for step in done.advice:
        typer.echo(f"Now {step}.")
