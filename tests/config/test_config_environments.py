"""What each environment sets: its section, its overlay and its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from peewee import Database

from supernova_ai.config import Config, Loaded, load
from supernova_ai.errors import ConfigError
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, WindowRow

Write = Callable[[str, str], Path]
BASE = "config/supernova.yaml"
HOME = {"SUPERNOVA_HOME": "home"}


def test_one_file_has_the_budgets_of_every_environment(write: Write) -> None:
    """A section is merged over its file for its environment alone, and its origins are its lines."""
    write(
        BASE,
        "routing: {retries: 1, wait: 1}\n"
        "environments:\n"
        "  staging:\n"
        "  production:\n"
        "    routing: {retries: 5}\n"
        "    budgets: [{name: big, limit: 9, per: day}]\n",
    )
    assert load(environ={}).config.routing.retries == 1
    assert load(environ={"SUPERNOVA_ENV": "staging"}).config.routing.retries == 1
    production = load(environ={"SUPERNOVA_ENV": "production"})
    assert (production.config.routing.retries, production.config.routing.wait) == (5, 1)
    assert [budget.name for budget in production.config.budgets] == ["big"]
    assert production.origins["routing.retries"] == f"{BASE}:5"
    assert production.sources[1] == f"{BASE}: environments.production"


def test_an_environment_changes_budgets_by_name(write: Write) -> None:
    """A mapping changes the budgets of these names, adds others, and removes those that are null."""
    write(
        BASE,
        "budgets:\n"
        "  - {name: daily, limit: 5, per: day, time_zone: Asia/Kolkata}\n"
        "  - {name: weekly, limit: 9, per: week}\n"
        "environments:\n"
        "  production:\n"
        "    budgets:\n"
        "      daily: {limit: 500}\n"
        "      weekly:\n"
        "      each-user: {limit: 2, per: day, user: '*'}\n",
    )
    write("config/environments/production.yaml", "budgets: {daily: {limit: 600}}")
    found = load(environ={"SUPERNOVA_ENV": "production"}).config.budgets
    assert [(b.name, b.limit, b.per, b.time_zone, b.user) for b in found] == [
        ("daily", Decimal(600), "day", "Asia/Kolkata", None),
        ("each-user", Decimal(2), "day", "UTC", "*"),
    ]
    assert [budget.name for budget in load(environ={}).config.budgets] == ["daily", "weekly"]


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ("{dayly: {limit: 5}}", "3: budgets[2].per is missing"),
        ("{daily: {limit: x}}", "3: budgets[0].limit is 'x'"),
        ("{daily: 5}", "3: budgets[0] is 5: must be a mapping"),
    ],
)
def test_a_wrong_change_of_a_budget_names_its_line(budgets: str, said: str, write: Write) -> None:
    """A misspelt name is a new budget, whose settings are missing."""
    write(BASE, f"environments:\n  production:\n    budgets: {budgets}")
    with pytest.raises(ConfigError) as caught:
        load(environ={"SUPERNOVA_ENV": "production"})
    assert said in str(caught.value)


def test_the_overlay_wins_over_the_section(write: Write) -> None:
    """The overlay is stronger than the section, and both are stronger than the rest of the file."""
    write(BASE, "routing: {retries: 1}\nenvironments: {production: {routing: {retries: 2, wait: 2}}}")
    write("config/environments/production.yaml", "routing: {retries: 3}")
    routing = load(environ={"SUPERNOVA_ENV": "production"}).config.routing
    assert (routing.retries, routing.wait) == (3, 2)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            "{prodution: {}}",
            "1: environments.prodution: the name must be one of .* Did you mean 'production'?",
        ),
        ("[production]", "1: environments: must be a mapping"),
        ("{production: 5}", "1: environments.production: must be a mapping"),
        ("{production: {environment: staging}}", "1: environment: the section of production cannot set"),
        ("{staging: {environments: {}}}", "1: environments: the section of staging cannot contain"),
        ("{production: {}, production: {}}", "'production' appears twice"),
    ],
)
def test_a_wrong_section_is_refused_in_every_environment(section: str, said: str, write: Write) -> None:
    """A section that can never be used is an error at once, not on the first day of production."""
    write(BASE, f"environments: {section}")
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        load(environ={})


def test_an_overlay_has_no_sections(write: Write) -> None:
    """Sections of environments belong in the base file."""
    write(BASE, "")
    write("config/environments/production.yaml", "environments: {production: {}}")
    with pytest.raises(ConfigError, match=r"production\.yaml:1: environments: an overlay cannot contain"):
        load(environ={"SUPERNOVA_ENV": "production"})


def test_an_error_in_a_section_names_its_line(write: Write) -> None:
    """A wrong value in a section is reported at its own line."""
    write(BASE, "environments:\n  production:\n    routing: {retries: 99}\n")
    with pytest.raises(ConfigError, match=r"supernova\.yaml:3: routing\.retries is 99"):
        load(environ={"SUPERNOVA_ENV": "production"})


def test_every_environment_has_its_own_database() -> None:
    """Development keeps supernova.db; the names of the others are in their files' names."""
    names = {name: Path(load(environ=HOME | {"SUPERNOVA_ENV": name}).database).name for name in _NAMES}
    assert names == {
        "development": "supernova.db",
        "staging": "supernova-staging.db",
        "production": "supernova-production.db",
    }
    assert Loaded.of(Config(environment="staging"), environ=HOME).database == "home/supernova-staging.db"


_NAMES = ("development", "staging", "production")


@pytest.mark.parametrize("environment", ["production", None])
def test_a_ledger_of_earlier_versions_is_not_forgotten(environment: str | None, write: Write) -> None:
    """Attempts in supernova.db that production may have made stop it, until ``database`` names a file."""
    production = HOME | {"SUPERNOVA_ENV": "production"}
    with Store("home/supernova.db") as store:
        store.write(_attempt_in(environment)).result()
    with pytest.raises(
        ConfigError, match=r"supernova\.db has attempts or sums that may be its own"
    ) as caught:
        load(environ=production)
    assert "'database: home/supernova.db'" in str(caught.value)
    assert len(load(environ=production, strict=False).refused) == 1
    write(BASE, "environments: {production: {database: home/supernova.db}}")
    assert load(environ=production).database == "home/supernova.db"
    write(BASE, "environments: {production: {database: home/supernova-production.db}}")
    assert load(environ=production).database == "home/supernova-production.db"


def test_attempts_of_development_stop_no_other_environment() -> None:
    """A ledger that says that its attempts were made in development, or has none, is none of the others'."""
    production = HOME | {"SUPERNOVA_ENV": "production"}
    with Store("home/supernova.db") as store:
        assert load(environ=production).refused == ()
        store.write(_attempt_in("development")).result()
    assert load(environ=production).refused == ()


def test_a_ledger_whose_attempts_are_archived_is_not_forgotten() -> None:
    """The sums of budgets stay when attempts move into files."""
    production = HOME | {"SUPERNOVA_ENV": "production"}
    with Store("home/supernova.db") as store:
        insert = WindowRow.insert(budget="monthly", subject="", period="2026-11", settled=1)
        store.write(lambda database: insert.execute(database)).result()
    with pytest.raises(ConfigError, match="budgets would forget"):
        load(environ=production)


def test_a_ledger_without_the_column_is_not_forgotten() -> None:
    """A database of the first releases does not say in which environment its attempts were made."""
    Path("home").mkdir()
    with closing(sqlite3.connect("home/supernova.db")) as database:
        database.executescript("CREATE TABLE attempt (id TEXT); INSERT INTO attempt VALUES ('a')")
    with pytest.raises(ConfigError, match="budgets would forget"):
        load(environ=HOME | {"SUPERNOVA_ENV": "staging"})


def test_a_file_that_cannot_be_read_is_not_forgotten() -> None:
    """A damaged supernova.db may hold what production spent."""
    Path("home").mkdir()
    Path("home/supernova.db").write_text("not a database, but long enough to look like one")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ=HOME | {"SUPERNOVA_ENV": "production"})


def test_an_environment_with_a_database_is_not_asked_again() -> None:
    """Once it has a database, an environment uses it, whatever is in supernova.db."""
    with Store("home/supernova.db") as store:
        store.write(_attempt_in("production")).result()
    Store("home/supernova-production.db").close()
    assert load(environ=HOME | {"SUPERNOVA_ENV": "production"}).database.endswith("supernova-production.db")


def _attempt_in(environment: str | None) -> Callable[[Database], object]:
    columns = ("id", "request", "process", "task", "tier", "provider", "model", "state")
    numbers = {"held": 0, "started_ms": 0}
    row = dict.fromkeys((*columns, "config_version", "price_version"), "x") | numbers
    return lambda database: AttemptRow.insert(**row, environment=environment).execute(database)
