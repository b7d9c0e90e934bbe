"""What each environment sets: its section in the base file, its overlay, and its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from supernova_ai.config.fields import nearest
from supernova_ai.config.files import Files
from supernova_ai.config.nodes import Node, find, merge
from supernova_ai.config.problems import config_error, problem

DEVELOPMENT = "development"
BUILT_IN = (DEVELOPMENT, "staging", "production")
"""The environments that need neither a section nor an overlay."""

SECTIONS = "environments"
"""The section of the base file with a section for each environment."""


def known_environments(base: Path | None, files: Files) -> tuple[str, ...]:
    """Return the names that may be chosen: the built-in ones, and those with an overlay beside the file."""
    return tuple(sorted({*BUILT_IN, *_overlay_files(base, files)}))


def split(node: Node) -> tuple[Node, Node]:
    """Return the settings of a base file without the environments' sections, and these sections."""
    sections = find(node, (SECTIONS,)) or Node(None, node.origin)
    rest = {name: item for name, item in node.value.items() if name != SECTIONS}
    return Node(rest, node.origin), Node({}, sections.origin) if sections.value is None else sections


def layers(
    base: Path | None, sections: Node, chosen: Node, files: Files
) -> tuple[dict[str, Node], list[str]]:
    """Find what the chosen environment sets.

    Every name but the built-in ones must have an overlay: a misspelt "production" would lose its protection.

    Returns:
        Each layer by its source, the weaker first; and the problems.

    Raises:
        ConfigError: there is no such environment, or its overlay cannot be read.
    """
    known = known_environments(base, files)
    problems = list(_section_problems(base, sections, known))
    if not isinstance(chosen.value, str):
        return {}, problems  # validation refuses it later
    if chosen.value not in known:
        raise config_error(
            [problem(chosen.origin, "environment", chosen.value, _remedy(base, chosen.value, known))]
        )
    found: dict[str, Node] = {}
    section = None if problems else find(sections, (chosen.value,))
    if section and section.value is not None:
        found[f"{base}: {SECTIONS}.{chosen.value}"] = section
    if file := _overlay_files(base, files).get(chosen.value):
        overlay, duplicates = files.read(file)
        found[str(file)] = overlay
        problems += duplicates + _forbidden(overlay, "an overlay")
    return found, problems


def merge_layer(tree: Node, layer: Node) -> Node:
    """Merge what an environment sets over the settings before.

    ``budgets`` may be a mapping: it changes the budgets of these names, adds new ones, and removes those that
    are null. A list replaces all budgets, as every list does.
    """
    named, before = find(layer, ("budgets",)), find(tree, ("budgets",))
    if named is None or not isinstance(named.value, dict):
        return merge(tree, layer)
    budgets = [*before.value] if before and isinstance(before.value, list) else []
    for name, change in named.value.items():
        at = next((i for i, item in enumerate(budgets) if _name(item) == name), len(budgets))
        old = budgets[at : at + 1] or [Node({"name": Node(name, change.origin)}, change.origin)]
        budgets[at : at + 1] = [] if change.value is None else [merge(old[0], change)]
    return merge(tree, Node(layer.value | {"budgets": Node(budgets, named.origin)}, layer.origin))


def _name(budget: Node) -> object:
    found = find(budget, ("name",))
    return found and found.value


def _section_problems(base: Path | None, sections: Node, known: Sequence[str]) -> list[str]:
    if not isinstance(sections.value, dict):
        return [f"{sections.origin}: {SECTIONS}: must be a mapping, such as {{production: {{budgets: […]}}}}"]
    problems = []
    for name, section in sections.value.items():
        if name not in known:
            problems.append(f"{section.origin}: {SECTIONS}.{name}: the name {_remedy(base, name, known)}")
        elif not isinstance(section.value, dict | None):
            problems.append(f"{section.origin}: {SECTIONS}.{name}: must be a mapping of settings")
        elif section.value:
            problems += _forbidden(section, f"the section of {name}")
    return problems


def _forbidden(layer: Node, what: str) -> list[str]:
    """Return the problems of settings that only the base file itself may have."""
    remedies = {
        "environment": f"{what} cannot set the environment that chose it; remove it here",
        SECTIONS: f"{what} cannot contain sections of environments; move them into the base file",
    }
    return [
        f"{layer.value[name].origin}: {name}: {remedy}"
        for name, remedy in remedies.items()
        if name in layer.value
    ]


def _remedy(base: Path | None, name: str, known: Sequence[str]) -> str:
    add = f"; to add another, create {base.parent / SECTIONS / '<name>.yaml'}" if base else ""
    return f"must be one of {', '.join(known)}{add}.{nearest(name, list(known))}"


def _overlay_files(base: Path | None, files: Files) -> dict[str, Path]:
    return files.overlays(base.parent / SECTIONS) if base else {}


def default_database(folder: Path, environment: str) -> Path:
    """Return the environment's file in the data folder; each environment has one of its own."""
    return folder / ("supernova.db" if environment == DEVELOPMENT else f"supernova-{environment}.db")


def forgotten_ledger(database: Path, environment: str) -> str | None:
    """Return why a new database would forget what was spent; None if it would not.

    Before environments had databases of their own, all used ``supernova.db``. An empty ledger would grant
    every budget once more.
    """
    shared = default_database(database.parent, DEVELOPMENT)
    if shared == database or database.exists() or not shared.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{shared.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = _may_have_spent(connection, environment)
    except sqlite3.Error as error:
        reason = f"may have its attempts and cannot be read ({error})"
    else:
        if not found:
            return None
        reason = "has attempts or sums that may be its own"
    return (
        f"environment {environment} has no database yet, and {shared} {reason}: budgets would forget "
        f"what they spent. Write 'database: {shared}' under '{SECTIONS}.{environment}' to go on with it, or "
        f"'database: {database}' to start with an empty one"
    )


def _may_have_spent(connection: sqlite3.Connection, environment: str) -> bool:
    """Say whether a ledger may have attempts of the environment, also if all were archived."""

    def exists(rows: str, *values: str) -> bool:
        return connection.execute(f"SELECT 1 FROM {rows} LIMIT 1", values).fetchone() is not None  # noqa: S608

    columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(attempt)")}
    if not columns:
        return False  # not a ledger
    if not exists("attempt"):
        return exists("budget_window WHERE settled_nano + lost_nano > 0")
    if "environment" not in columns:
        return True
    return exists("attempt WHERE environment IS NULL OR environment = ?", environment)
