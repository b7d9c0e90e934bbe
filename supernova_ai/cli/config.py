"""``supernova config`` and ``version``: show the configuration in force, and check it."""

from __future__ import annotations

from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from supernova_ai import config as configuration
from supernova_ai.cli import config_edits
from supernova_ai.cli.app import versions
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Environment,
    complete_environment,
    console,
    print_json,
)
from supernova_ai.config import Loaded
from supernova_ai.config.differences import differences
from supernova_ai.config.fields import mask
from supernova_ai.config.problems import config_error
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.paths import is_server, permission_warning

app = typer.Typer(help="Show, check or change the configuration.", no_args_is_help=True)
app.add_typer(config_edits.app)


def _side(letter: str, *, default: str) -> Any:
    """Return one of the two arguments of ``diff``."""
    return typer.Argument(
        metavar=letter,
        autocompletion=complete_environment,
        help="A version or an environment.",
        show_default=default,
    )


@app.command()
def show(config: ConfigPath = None, env: Environment = None, json: AsJson = False) -> None:
    """Show the configuration in force, its version and its sources, with secrets hidden."""
    try:
        loaded = _load(config, env)
    except ConfigError as error:
        _show_in_force(config, error, json=json)
        raise typer.Exit(3) from None
    if json:
        print_json(
            {
                "version": loaded.version,
                "sources": loaded.sources,
                "database": mask(loaded.database),
                "warnings": _warnings(loaded),
                "config": loaded.config.shown(),
                "origins": loaded.origins,
            }
        )
        return
    typer.echo(f"# version {loaded.version}, from (strongest first):")
    for source in loaded.sources:
        typer.echo(f"#   {source}")
    typer.echo(f"# the database is {mask(loaded.database)}")
    for warning in _warnings(loaded):
        typer.echo(f"# WARNING: {warning}")
    typer.echo(yaml.safe_dump(loaded.config.shown(), sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def validate(config: ConfigPath = None, env: Environment = None, json: AsJson = False) -> None:
    """Check everything that can be checked before a call, and exit with 3 if there is a problem."""
    from supernova_ai.operations import validation

    try:
        loaded = _load(config, env)
    except ConfigError as error:
        if not json:
            raise
        _, *lines = str(error).splitlines()
        print_json({"valid": False, "problems": list(map(str.strip, lines)) or [str(error)], "warnings": []})
        raise typer.Exit(3) from None
    findings = validation.validate(loaded)
    problems, shared = ([], []) if env else _other_environments(config, loaded)
    findings = replace(
        findings,
        problems=(*loaded.refused, *findings.problems, *problems),
        warnings=(*findings.warnings, *shared, *_machine_warnings(loaded)),
    )
    if json:
        print_json({"valid": not findings.problems, "version": loaded.version, **asdict(findings)})
        raise typer.Exit(3 if findings.problems else 0)
    for warning in findings.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if findings.problems:
        raise config_error(list(findings.problems))
    console.print_labelled(
        "valid", "green", f": version {loaded.version}, environment {loaded.config.environment}"
    )


@app.command()
def diff(
    before: Annotated[str | None, _side("A", default="the version in force")] = None,
    after: Annotated[str | None, _side("B", default="the files")] = None,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Show the settings that differ between two versions or environments, with secrets hidden."""
    if before and after and not (before.isdecimal() or after.isdecimal()):  # needs no database
        first, second = (_with_database(_load(config, name)) for name in (before, after))
    else:
        first, second = _settings(config, before or "latest"), _settings(config, after)
    names = (before or "in force", after or "files")
    changes = list(differences(first, second))
    if json:
        print_json([dict(zip(("setting", *names), change, strict=True)) for change in changes])
        return
    for name, old, new in changes:
        typer.echo(f"{name}: {_text(old)} → {_text(new)}")
    if not changes:
        typer.echo("no difference")


def _show_in_force(config: Path | None, error: ConfigError, *, json: bool) -> None:
    """Show the version that was applied last in place of files that have problems.

    Raises:
        ConfigError: none was applied; it is the files' error.
    """
    from supernova_ai.operations.editing import Editor

    database = configuration.salvage(config).database
    if not is_server(database) and not Path(database).exists():
        raise error
    with Editor.open(config) as editor:
        version = editor.versions.latest()
    if version is None:
        raise error
    settings = {name: value for name, value in version.settings.items() if name != "prompts"}
    if json:
        print_json({"problems": str(error), "in_force": version.number, "config": settings})
        return
    typer.echo(f"error: {error}", err=True)
    typer.echo(f"# the files have problems; version {version.number} is in force:")
    typer.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)


def _settings(config: Path | None, side: str | None) -> dict[str, Any]:
    """Return the settings of a version's number, of "latest", of an environment, or of the files for None."""
    from supernova_ai.operations.editing import Editor
    from supernova_ai.reload.changes import settings_of

    if side is not None and (side == "latest" or side.isdecimal()):
        with Editor.open(config) as editor:
            version = editor.versions.latest() if side == "latest" else editor.versions.get(int(side))
        if version is None:
            raise InvalidRequest("no version of the configuration was recorded yet: no client was opened")
        return dict(version.settings)
    return settings_of(_load(config, side))


def _load(config: Path | None, env: str | None) -> Loaded:
    """Load the configuration, also one that its environment refuses, because it is only shown."""
    return configuration.load(config, overrides={"environment": env} if env else None, strict=False)


def _other_environments(config: Path | None, loaded: Loaded) -> tuple[list[str], list[str]]:
    """Return the problems of the environments that are not in force, and whose databases are the same."""
    problems, shared = [], []
    for name in loaded.environments:
        try:
            other = _load(config, name)
        except ConfigError as error:
            first, *lines = str(error).splitlines()
            problems += [f"{name}: {line.strip()}" for line in lines or [first]]
            continue
        if other.database == loaded.database and name != loaded.config.environment:
            shared.append(name)
    both = f"{loaded.config.environment} and {', '.join(shared)} share one database, and so keys and budgets"
    return problems, [f"{both}: set 'database' under 'environments'"] if shared else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)


def _with_database(loaded: Loaded) -> dict[str, Any]:
    return loaded.config.shown() | {"database": mask(loaded.database)}


def _warnings(loaded: Loaded) -> list[str]:
    return [*(f"refused: {reason}" for reason in loaded.refused), *_machine_warnings(loaded)]


def _machine_warnings(loaded: Loaded) -> list[str]:
    """Return warnings about this machine: unchecked certificates, a database that others can write."""
    unverified = configuration.tls_unverified_by()
    if unverified:
        refused = "calls are refused" if loaded.config.verify_tls else "any server could read the keys"
        unverified = f"TLS certificates are not checked, because {unverified}: {refused}"
    database = permission_warning(loaded.database)
    if any(database == reason for reason in loaded.refused):
        database = None
    return [*filter(None, (unverified, database)), *loaded.warnings]


def version(json: AsJson = False) -> None:
    """Print the versions of this package and of LiteLLM."""
    if json:
        print_json(versions())
    else:
        typer.echo(" ".join(f"{name} {number}" for name, number in versions().items()))
