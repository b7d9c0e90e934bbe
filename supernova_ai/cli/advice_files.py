"""Files with the facts and the news of a caller."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
import yaml

from supernova_ai.cli.options import read_text


def read_facts_file(path: Path) -> Any:
    """Return what a JSON or YAML file holds; a YAML date is a date."""
    text = read_text(path)
    with suppress(ValueError, RecursionError):
        return json.loads(text)  # YAML would read 1e5 and NaN as words
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path} is neither JSON nor YAML: {error}") from None


def read_news_file(path: Path) -> Any:
    """Return the items of a JSON list, or else the whole text; what a file named .json holds is JSON."""
    text = read_text(path)
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise typer.BadParameter(f"{path} is not JSON: {error}") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) else text
