"""``supernova config`` and ``version``: show the configuration in force, and check it."""

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

app = typer.Typer(help="Show or check the configuration.", no_args_is_help=True)


@app.command()
def show(config: ConfigPath = None, json: AsJson = False) -> None:
    """Show the configuration in force, its version and its sources, with secrets hidden."""
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
    """Check everything that can be checked before a call, and exit with 3 if there is a problem."""
    from supernova_ai.operations import validation

    try:
        loaded = configuration.load(config)
    except ConfigError as error:
        if not json:
            raise
        _, *lines = str(error).splitlines()
        print_json({"valid": False, "problems": list(map(str.strip, lines)) or [str(error)], "warnings": []})
        raise typer.Exit(3) from None
    findings = validation.validate(loaded, configuration.read_environ())
    findings = replace(findings, warnings=(*findings.warnings, *_warnings(loaded)))
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


def _warnings(loaded: Loaded) -> list[str]:
    """Return warnings about this machine: unchecked certificates, a database that others can write."""
    unverified = configuration.tls_unverified_by()
    if unverified:
        refused = "calls are refused" if loaded.config.verify_tls else "any server could read the keys"
        unverified = f"TLS certificates are not checked, because {unverified}: {refused}"
    return [warning for warning in (unverified, permission_warning(loaded.database)) if warning]


def version(json: AsJson = False) -> None:
    """Print the versions of this package and of LiteLLM."""
    packages = {"supernova-ai": __version__, "litellm": installed("litellm")}
    if json:
        print_json(packages)
    else:
        typer.echo(" ".join(f"{name} {number}" for name, number in packages.items()))
