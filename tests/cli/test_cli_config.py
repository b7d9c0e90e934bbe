"""``supernova config``: the configuration in force, and its validation."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from supernova_ai.config import Config
from tests.cli.conftest import Supernova


def test_show_prints_usable_yaml(supernova: Supernova, folder: Path) -> None:
    """The output is YAML of the whole configuration, and loading it gives the same version."""
    shown = supernova("config", "show")
    assert shown.code == 0
    assert yaml.safe_load(shown.out) == Config().shown()
    (folder / "again.yaml").write_text(shown.out)
    first_line = shown.out.splitlines()[0]
    assert supernova("config", "show", "--config", "again.yaml").out.splitlines()[0] == first_line


def test_show_names_the_sources(supernova: Supernova, folder: Path) -> None:
    """The sources are listed strongest first, and JSON has the origin of every setting."""
    (folder / "nova.yaml").write_text("streaming: true\n")
    (folder / ".env").write_text("LLM_DAILY_COST_LIMIT=7\n")
    text = supernova("config", "show", "--config", "nova.yaml").out
    assert [line for line in text.splitlines() if line.startswith("#   ")] == [
        "#   .env: LLM_DAILY_COST_LIMIT",
        "#   nova.yaml",
        "#   built-in defaults",
    ]
    shown = supernova("config", "show", "--config", "nova.yaml", "--json").json
    assert shown["config"]["streaming"] is True
    assert shown["origins"]["streaming"] == "nova.yaml:1"
    assert shown["origins"]["routing.retries"] == "built-in defaults"
    assert shown["version"] in text
    assert shown["database"].endswith("supernova.db")
    assert f"# the database is {shown['database']}" in text.splitlines()


def test_show_hides_secrets(supernova: Supernova, folder: Path) -> None:
    """Passwords and tokens in URLs are shown neither as YAML nor as JSON."""
    (folder / "nova.yaml").write_text(
        "database: postgresql://ann:hunter22@db/nova\nalerts: {notify: ['slack://hunter22/token']}\n"
    )
    for result in (
        supernova("config", "show", "--config", "nova.yaml"),
        supernova("config", "show", "--config", "nova.yaml", "--json"),
    ):
        assert result.code == 0
        assert "db/nova" in result.out
        assert "hunter22" not in result.out + result.err


def test_validate(supernova: Supernova, folder: Path) -> None:
    """A valid configuration exits with 0; a wrong one with 3, and each problem has its place."""
    assert supernova("config", "validate").out.startswith("valid: version ")
    (folder / "bad.yaml").write_text("streaming: 7\nrouting:\n  stratgy: cost\n")
    wrong = supernova("config", "validate", "--config", "bad.yaml")
    assert (wrong.code, wrong.out) == (3, "")
    assert "2 problems" in wrong.err
    assert "bad.yaml:1: streaming" in wrong.err
    assert "bad.yaml:3: routing.stratgy" in wrong.err
    assert "Did you mean 'strategy'?" in wrong.err


def test_validate_checks_everything(
    supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts, providers, models, prices, addresses and variables are checked, with the same list as JSON."""
    monkeypatch.setenv("SUPERNOVA_ENVIRONMENT", "production")
    monkeypatch.setenv("OPENAI_KEY", "x")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.test")
    (folder / "config" / "prompts").mkdir(parents=True)
    (folder / "config" / "prompts" / "mine.md").write_text("Be brief.")
    (folder / "config" / "prompts" / "sung.md").write_text(
        "---\nname: sung\nversion: 1\ntask: sing\n---\nBe brief.\n"
    )
    file = folder / "config" / "supernova.yaml"
    file.write_text(
        "providers:\n"
        "  openai: {models: {standard: gpt-4o-minni, premium: gpt-4o}}\n"
        "  gorq: {models: {standard: llama}}\n"
        "  mistral: {models: {standard: mistral-small}}\n"
        "routing: {priority: [openai, gorq]}\n"
        "alerts: {notify: ['slakc://a/b/c', 'json://localhost', 'vault:mine']}\n"
    )
    result = supernova("config", "validate", "--json")
    found = result.json
    assert (result.code, found["valid"]) == (3, False)
    problems, warnings = "\n".join(found["problems"]), "\n".join(found["warnings"])
    assert "config/prompts/mine.md:1: a template begins with a header" in problems
    assert "config/prompts/sung.md: task 'sing' is not configured" in problems
    assert "providers.gorq: LiteLLM knows no provider of this name. Did you mean 'groq'?" in problems
    assert "alerts.notify[0] (slakc): Apprise knows no such URL" in problems
    assert len(found["problems"]) == 4
    assert "SUPERNOVA_ENVIRONMENT is not read: did you mean SUPERNOVA_ENV?" in warnings
    assert "OPENAI_KEY is not read: did you mean OPENAI_API_KEY?" in warnings
    assert (
        "providers.mistral is never asked: 'routing.priority' does not name it. Run supernova config set "
        "routing.priority '[openai, gorq, mistral]', or set 'providers.mistral.enabled: false'"
    ) in warnings
    assert "OPENAI_BASE_URL is ignored, because only the configuration decides where" in warnings
    assert len(found["warnings"]) == 4
    told = supernova("config", "validate")
    assert (told.code, told.out) == (3, "")
    assert all(line.split(":")[0] in told.err for line in (*found["problems"], *found["warnings"]))
    file.write_text(file.read_text().replace("gorq", "groq"))
    assert (
        "providers.openai.models.standard is 'gpt-4o-minni': no price is known, so it is not asked where a "
        "budget applies: correct the name, or give 'providers.openai.prices'. Did you mean 'gpt-4o-mini'?"
    ) in supernova("config", "validate", "--json").json["problems"]


def test_validate_as_json(supernova: Supernova, folder: Path) -> None:
    """For a configuration that cannot be loaded, the JSON lists its problems."""
    right = supernova("config", "validate", "--json")
    assert (right.code, right.json["valid"], right.json["problems"]) == (0, True, [])
    (folder / "bad.yaml").write_text("streaming: 7\nstratgy: cost\n")
    wrong = supernova("config", "validate", "--json", "--config", "bad.yaml")
    assert wrong.code == 3
    assert [line.split(": ")[0] for line in wrong.json["problems"]] == ["bad.yaml:1", "bad.yaml:2"]
    absent = supernova("config", "validate", "--json", "--config", "absent.yaml").json
    assert "there is no configuration file at absent.yaml" in absent["problems"][0]


def test_the_named_file_must_exist(supernova: Supernova) -> None:
    """A missing file given by --config is an error of configuration."""
    result = supernova("config", "show", "--config", "absent.yaml")
    assert result.code == 3
    assert "there is no configuration file at absent.yaml" in result.err


def test_warnings_of_this_machine(
    supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchecked certificates and a database that others can write are warnings; the YAML stays usable."""
    monkeypatch.setenv("SSL_VERIFY", "False")
    (folder / "nova.yaml").write_text("database: open.db\n")
    Path(supernova("config", "show", "--config", "nova.yaml", "--json").json["database"]).touch(0o666)
    (folder / "open.db").chmod(0o666)
    shown = supernova("config", "show", "--config", "nova.yaml")
    warnings = supernova("config", "show", "--config", "nova.yaml", "--json").json["warnings"]
    assert ["SSL_VERIFY" in warnings[0], "mode 0666" in warnings[1]] == [True, True]
    for warning in warnings:
        assert f"# WARNING: {warning}" in shown.out.splitlines()
        assert warning in supernova("config", "validate", "--config", "nova.yaml").err
    assert yaml.safe_load(shown.out)["verify_tls"] is True


SECTIONS = """
budgets: [{name: daily, limit: 5, per: day}]
environments:
  production:
    budgets: [{name: daily, limit: 500, per: day}, {name: each-user, limit: 2, per: day, user: "*"}]
    redis: redis://:hunter22@cache
"""


def test_diff_shows_what_differs_between_environments(supernova: Supernova, folder: Path) -> None:
    """Each setting that differs is a line, budgets by their names; databases too, without passwords."""
    (folder / "nova.yaml").write_text(SECTIONS)
    result = supernova("config", "diff", "development", "production", "--config", "nova.yaml")
    assert "budgets.daily.limit: 5 → 500\n" in result.out
    assert "supernova-production.db\n" in result.out
    assert 'budgets.each-user: (not set) → {"name": "each-user"' in result.out
    assert "hunter22" not in result.out
    found = supernova("config", "diff", "production", "development", "-c", "nova.yaml", "--json").json
    limit = next(change for change in found if change["setting"] == "budgets.daily.limit")
    assert (limit["production"], limit["development"]) == ("500", "5")
    assert supernova("config", "diff", "production", "production").out == "no difference\n"
    assert "Did you mean 'production'?" in supernova("config", "diff", "development", "prodution").err


def test_show_and_validate_take_an_environment(supernova: Supernova, folder: Path) -> None:
    """--env shows and checks another environment; without it, validate checks the YAML of all."""
    (folder / "nova.yaml").write_text(SECTIONS)
    shown = supernova("config", "show", "--config", "nova.yaml", "--env", "production", "--json").json
    assert (shown["config"]["environment"], len(shown["config"]["budgets"])) == ("production", 2)
    (folder / "nova.yaml").write_text("environments: {production: {enabled: 7}}")
    wrong = supernova("config", "validate", "--config", "nova.yaml")
    assert (wrong.code, wrong.err.count("production: nova.yaml:1: enabled is 7")) == (3, 1)
    assert supernova("config", "validate", "--config", "nova.yaml", "--env", "staging").code == 0
    assert supernova("config", "validate", "--config", "nova.yaml", "--env", "production").code == 3


def test_validate_warns_of_a_shared_database(supernova: Supernova, folder: Path) -> None:
    """A database that is set for all environments also shares keys and budgets."""
    (folder / "nova.yaml").write_text("database: one.db\nenvironments: {production: {database: other.db}}")
    found = supernova("config", "validate", "--config", "nova.yaml", "--json").json["warnings"]
    (warning,) = found
    assert warning.startswith("development and staging share one database, and so keys and budgets: set")


def test_show_says_why_an_environment_would_not_start(
    supernova: Supernova, folder: Path, supernova_home: Path
) -> None:
    """An environment that is refused is shown with the reason; validate and other commands exit with 3."""
    (supernova_home / "supernova.db").parent.mkdir(exist_ok=True)
    (supernova_home / "supernova.db").write_text("damaged beyond recognition")
    shown = supernova("config", "show", "--env", "production")
    assert (shown.code, "# WARNING: refused: environment production has no database" in shown.out) == (
        0,
        True,
    )
    assert supernova("config", "validate", "--env", "production").code == 3


def test_a_rerank_model_has_a_price_per_search(supernova: Supernova, folder: Path) -> None:
    """``prices show`` names it below the table, and ``--json`` has it in USD."""
    (folder / "supernova.yaml").write_text("providers: {cohere: {models: {rerank: rerank-v3.5}}}")
    command = ("prices", "show", "rerank-v3.5", "--config", "supernova.yaml")
    assert "cohere: 0.002 USD per search of up to 100 documents" in supernova(*command).out
    assert [row["per_search"] for row in supernova(*command, "--json").json] == ["0.002"]
