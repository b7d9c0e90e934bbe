"""Users whom a budget names: in versions of the configuration, and in windows and processes with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from peewee import Database

from supernova_ai.store import bulk
from supernova_ai.store.tables import ConfigVersionRow, ProcessRow


def export(database: Database, user: str) -> list[dict[str, Any]]:
    """Return the budgets of the user in each version of the configuration."""
    return [
        {"number": row.number, "at_ms": row.at_ms, "environment": row.environment, "budgets": budgets}
        for row, _, budgets in _versions(database, user)
    ]


def rename(database: Database, user: str, pseudonym: str) -> dict[str, int]:
    """Replace the user by the pseudonym; return how many rows were changed, by table.

    The text of such a version is deleted, because it names the user too: it can no longer be rolled back to.
    """
    counts = {"config_version": 0, "budget_window": 0, "process": 0}
    for row, settings, budgets in _versions(database, user):
        for budget in budgets:
            budget["user"] = pseudonym
        version = ConfigVersionRow.update(settings=json.dumps(settings, ensure_ascii=False), sealed=None)
        counts["config_version"] += version.where(ConfigVersionRow.number == row.number).execute(database)
    theirs, now = json.dumps({"user": user})[1:-1], json.dumps({"user": pseudonym})[1:-1]
    scopes = bulk.run(database, "SELECT DISTINCT scope FROM budget_window WHERE scope <> ''").fetchall()
    for (scope,) in scopes:
        if theirs in scope:
            change = "UPDATE budget_window SET scope = ? WHERE scope = ?"
            counts["budget_window"] += bulk.run(database, change, scope.replace(theirs, now), scope).rowcount
    for process in ProcessRow.select().execute(database):
        # JSON in JSON: the scope is part of a text.
        budgets = process.budgets.replace(json.dumps(theirs)[1:-1], json.dumps(now)[1:-1])
        if budgets != process.budgets:
            change = "UPDATE process SET budgets = ? WHERE id = ?"
            counts["process"] += bulk.run(database, change, budgets, process.id).rowcount
    return counts


def _versions(
    database: Database, user: str
) -> Iterator[tuple[ConfigVersionRow, dict[str, Any], list[dict[str, Any]]]]:
    """Yield each version that has budgets of the user, with its settings, and these budgets in them."""
    for row in list(ConfigVersionRow.select().execute(database)):
        settings = json.loads(row.settings)
        if theirs := [budget for budget in settings["budgets"] if budget["user"] == user]:
            yield row, settings, theirs
