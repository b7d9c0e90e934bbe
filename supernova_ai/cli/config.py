"""``supernova config`` and ``version``: what is in force, and whether it is right."""

from __future__ import annotations

from importlib.metadata import version as installed

import typer
import yaml
from rich.text import Text

from supernova_ai import config as configuration
from supernova_ai.cli.options import AsJson, ConfigPath, console, print_json
from supernova_ai.config.fields import mask

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
                "config": loaded.config.shown(),
                "origins": loaded.origins,
            }
        )
        return
    typer.echo(f"# version {loaded.version}, from (strongest first):")
    for source in loaded.sources:
        typer.echo(f"#   {source}")
    typer.echo(f"# the database is {mask(loaded.database)}")
    typer.echo(yaml.safe_dump(loaded.config.shown(), sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def validate(config: ConfigPath = None) -> None:
    """Check the configuration; every problem is listed with its place and remedy, and the exit code is 3."""
    loaded = configuration.load(config)
    said = f": version {loaded.version}, environment {loaded.config.environment}"
    console.print(Text.assemble(("valid", "green"), said))


def version(json: AsJson = False) -> None:
    """Print the version."""
    packages = {name: installed(name) for name in ("supernova-ai", "litellm")}
    if json:
        print_json(packages)
    else:
        typer.echo(" ".join(f"{name} {number}" for name, number in packages.items()))
