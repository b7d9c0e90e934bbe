"""``supernova config`` and ``version``: what is in force, and whether it is right."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.metadata import version as installed

import typer
import yaml

from supernova_ai import __version__
from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, console, print_json
from supernova_ai.config import Loaded
from supernova_ai.config.fields import mask
from supernova_ai.config.problems import config_error
from supernova_ai.errors import ConfigError
from supernova_ai.store import permission_warning

app = typer.Typer(help="The configuration in force.", no_args_is_help=True)


@app.command()
def show(config: ConfigPath = None, json: AsJson = False) -> None:
    """Show the configuration in force, where it came from, and its version; secrets are hidden."""
    loaded = configuration.load(config)
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
def validate(config: ConfigPath = None, json: AsJson = False) -> None:
    """Check the configuration and its prompts, providers, models, prices, addresses and variables.

    Every problem is listed with its place and remedy, and the exit code is 3. Warnings do not change it.
    """
    from supernova_ai.operations import validation

    try:
        loaded = configuration.load(config)
    except ConfigError as error:
        if not json:
            raise
        _, *lines = str(error).splitlines()
        print_json({"valid": False, "problems": list(map(str.strip, lines)) or [str(error)], "warnings": []})
        raise typer.Exit(3) from None
    found = validation.validate(loaded, configuration.read_environ())
    found = replace(found, warnings=(*found.warnings, *_warnings(loaded)))
    if json:
        print_json({"valid": not found.problems, "version": loaded.version, **asdict(found)})
        raise typer.Exit(3 if found.problems else 0)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if found.problems:
        raise config_error(list(found.problems))
    console.print_labelled(
        "valid", "green", f": version {loaded.version}, environment {loaded.config.environment}"
    )


def _warnings(loaded: Loaded) -> list[str]:
    """Return what this machine makes of the configuration: certificates unchecked, a database open to all."""
    unverified = configuration.tls_unverified_by()
    if unverified:
        refused = "calls are refused" if loaded.config.verify_tls else "any server could take the keys"
        unverified = f"TLS certificates are not checked, because {unverified}: {refused}"
    return [warning for warning in (unverified, permission_warning(loaded.database)) if warning]


def version(json: AsJson = False) -> None:
    """Print the version."""
    packages = {"supernova-ai": __version__, "litellm": installed("litellm")}
    if json:
        print_json(packages)
    else:
        typer.echo(" ".join(f"{name} {number}" for name, number in packages.items()))
