"""``supernova prompts``: list, show, render and check prompt templates."""

from __future__ import annotations

import json as json_format
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    completion,
    console,
    flag,
    load,
    print_json,
    read_text,
)
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import Library, Template, as_file, faults
from supernova_ai.terminal import inventory_tables

app = typer.Typer(help="List, show, render and check prompt templates.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        autocompletion=completion(lambda loaded: Library(loaded.prompts).names()),
        help="A name from 'supernova prompts list'.",
    ),
]


@app.command("list")
def list_(config: ConfigPath = None, json: AsJson = False) -> None:
    """List the templates with their version, task, hash and source."""
    library = _library(config)
    templates = library.usable()
    for problem in library.problems():
        typer.echo(f"wrong: {problem}", err=True)
    if json:
        print_json(
            [
                {name: getattr(t, name) for name in ("name", "version", "task", "tier", "source", "hash")}
                for t in templates
            ]
        )
        return
    console.print(inventory_tables.templates(templates))


@app.command()
def show(
    name: Name,
    config: ConfigPath = None,
    save: Annotated[
        bool, flag("--save", help="Save it in 'prompts' beside the YAML file, for you to edit.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show a template as one file, with what it extends included."""
    folders = load(config).prompts
    template = Library(folders).get(name)
    if save:
        if not folders:
            raise ConfigError(
                "templates are saved beside the YAML file, and there is none: create config/supernova.yaml"
            )
        path = folders[0] / f"{name}.md"
        if path.exists() and path.stat().st_size:
            raise InvalidRequest(f"{path} exists already: edit it, or remove it first")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_file(template), encoding="utf-8")
        typer.echo(f"saved {path}")
    elif json:
        print_json(template)
    else:
        typer.echo(as_file(template), nl=False)


@app.command()
def render(
    name: Name,
    var: Annotated[
        list[str] | None,
        typer.Option(
            "--var", help="A value as NAME=VALUE; repeat it for each variable and for each item of a list."
        ),
    ] = None,
    vars: Annotated[  # noqa: A002
        Path | None, typer.Option("--vars", help="A JSON file with an object of values.")
    ] = None,
    example: Annotated[
        bool, flag("--example", help="Take missing values from the template's example.")
    ] = False,
    config: ConfigPath = None,
    json: AsJson = False,
) -> None:
    """Print the messages that would be sent for these values, without sending them."""
    template = _library(config).get(name)
    values = dict(template.example) if example else {}
    messages = template.render(values | _from_file(vars) | _from_options(template, var or []))
    if json:
        print_json(messages)
        return
    for message in messages:
        console.rule(message["role"], align="left")
        typer.echo(message["content"])


@app.command("test")
def check(config: ConfigPath = None, json: AsJson = False) -> None:
    """Check every template and render its example, and exit with 1 if one is wrong or 3 if unreadable."""
    loaded = load(config)
    library = Library(loaded.prompts)
    templates = library.usable()
    found = {t.name: faults(t, loaded.config.routing.tasks) for t in templates}
    if json:
        print_json(found)
    for t in [] if json else templates:
        wrong = found[t.name]
        if wrong:
            console.print_labelled("wrong", "red", f" {t.name} ({t.source})")
        else:
            console.print_labelled("ok", "green", f" {t.name}")
        for fault in wrong:
            console.print(f"  {fault}", highlight=False, soft_wrap=True)
    library.check()
    raise typer.Exit(int(any(found.values())))


def _library(config: Path | None) -> Library:
    return Library(load(config).prompts)


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = json_format.loads(read_text(path))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise typer.BadParameter(f'{path} must hold an object of values, such as {{"message": "…"}}')
    return values


def _from_options(template: Template, given: list[str]) -> dict[str, Any]:
    """Convert each ``NAME=VALUE`` to the type of its variable; ``render`` reports values that do not fit."""
    types = {variable.name: variable.type for variable in template.variables}
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--var {text!r} must be NAME=VALUE")
        match types.get(name):
            case "list":
                values.setdefault(name, []).append(value)
            case "number":
                values[name] = _number(value)
            case _:
                values[name] = value
    return values


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
