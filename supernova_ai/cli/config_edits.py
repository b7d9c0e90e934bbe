"""``supernova config``: the versions of the configuration, and edits of its files."""

from __future__ import annotations

from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated

import typer

from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    console,
    limit_option,
    load,
    print_json,
    read_text,
)
from supernova_ai.config.nodes import read_bytes
from supernova_ai.config.problems import config_error
from supernova_ai.errors import ConfigError

if TYPE_CHECKING:  # it needs LiteLLM's list of models, which takes seconds to import
    from supernova_ai.operations.editing import Edited

app = typer.Typer()


@app.command()
def history(
    config: ConfigPath = None,
    limit: Annotated[int, limit_option("How many.")] = 20,
    json: AsJson = False,
) -> None:
    """List the versions that were applied, newest first: when, by whom, why, and what changed."""
    from supernova_ai.operations.editing import Editor
    from supernova_ai.reload.changes import changes, summary

    with Editor.open(config) as editor:
        found = editor.versions.newest(limit + 1)
    before = {later.number: earlier for later, earlier in pairwise(found)}
    changed = {
        one.number: changes(before[one.number].settings, one.settings) if one.number in before else None
        for one in found[:limit]
    }
    if json:
        print_json(
            [
                {
                    "number": one.number,
                    "at": one.at,
                    "version": one.version,
                    "environment": one.environment,
                    "actor": one.actor,
                    "cause": one.cause,
                    "changes": [change._asdict() for change in changed[one.number] or []],
                    "has_text": one.sealed is not None,
                }
                for one in found[:limit]
            ]
        )
        return
    for one in found[:limit]:
        changed_here = changed[one.number]
        what = "the first version" if changed_here is None else summary(changed_here)
        when = f"{one.at.astimezone():%Y-%m-%d %H:%M}"
        typer.echo(f"{one.number:>4}  {when}  {one.version}  {one.cause}, {one.actor}: {what}")


@app.command("set")
def set_(
    key: Annotated[str, typer.Argument(help="The setting, such as budgets.daily.limit.")],
    value: Annotated[str, typer.Argument(help="Its value in YAML; '-' reads it from standard input.")],
    config: ConfigPath = None,
) -> None:
    """Change one setting in its file; everything else in the file stays as it is."""
    from supernova_ai.operations.editing import Editor, holds_secret

    if holds_secret(key, value):
        raise typer.BadParameter(
            "the value holds a secret, which is in your shell's history now: replace it where it comes from, "
            "and give the new one on standard input, with '-' as VALUE",
            param_hint="VALUE",
        )
    given = read_text(None).strip() if value == "-" else value
    with Editor.open(config) as editor:
        _print_edit(editor.set({key: given}))


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="The new content of the YAML file.")], config: ConfigPath = None
) -> None:
    """Replace the YAML file by another, if that is valid."""
    from supernova_ai.operations.editing import Editor

    with Editor.open(config) as editor:
        _print_edit(editor.apply(read_bytes(file), file))


@app.command()
def rollback(
    version: Annotated[
        int | None,
        typer.Argument(
            metavar="N",
            min=1,
            help="The version.",
            show_default="the one before, or the one in force if the files have problems",
        ),
    ] = None,
    config: ConfigPath = None,
) -> None:
    """Write the files of an earlier version back."""
    from supernova_ai.operations.editing import Editor

    with Editor.open(config) as editor:
        _print_edit(editor.rollback(version))


@app.command()
def watch(config: ConfigPath = None) -> None:
    """Check each edit of the files when it is saved, without applying it, until Ctrl-C."""
    from supernova_ai.operations import validation
    from supernova_ai.reload.changes import changes, settings_of
    from supernova_ai.reload.watcher import Watcher, fingerprint

    loaded = load(config, strict=False)
    edits: SimpleQueue[None] = SimpleQueue()
    typer.echo(f"watching {loaded.base or 'config/supernova.yaml'}; Ctrl-C ends it")
    seen = fingerprint(loaded, loaded.texts)
    with closing(Watcher(lambda: loaded, seen, lambda: edits.put(None))), suppress(KeyboardInterrupt):
        while True:
            edits.get()
            try:
                edited = load(config, strict=False)
                if problems := [*edited.refused, *validation.validate(edited).problems]:
                    raise config_error(problems)
            except ConfigError as error:
                console.print_labelled("refused", "red", f": {error}")
                continue
            console.print_labelled("valid", "green", f": version {edited.version}")
            for change in changes(settings_of(loaded), settings_of(edited)):
                typer.echo(str(change))
            loaded = edited


def _print_edit(edited: Edited) -> None:
    for warning in edited.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for file in edited.files:
        typer.echo(f"written: {file}")
    for change in edited.changes:
        typer.echo(str(change))
    typer.echo(edited.result)
