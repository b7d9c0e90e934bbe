"""Where the configuration is found, and which source wins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from supernova_ai.config import Config, Loaded, Routing, data_folder, load, read_environ
from supernova_ai.errors import ConfigError

Write = Callable[[str, str], Path]
BASE = "config/supernova.yaml"


def test_without_any_source_the_built_in_defaults_apply() -> None:
    """Without a file and variables the configuration is the built-in defaults."""
    loaded = load(environ={})
    assert loaded.config == Config()
    assert loaded.sources == ("built-in defaults",)


def test_each_source_is_stronger_than_the_ones_below_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source that is added overrides all weaker ones."""
    seen = [load().config.providers["openai"].models["standard"]]
    write(BASE, "providers: {openai: {models: {standard: from-base}}}")
    seen.append(load().config.providers["openai"].models["standard"])
    write("config/environments/development.yaml", "providers: {openai: {models: {standard: from-overlay}}}")
    seen.append(load().config.providers["openai"].models["standard"])
    write(".env", "OPENAI_CHAT_MODEL=from-dotenv")
    seen.append(load().config.providers["openai"].models["standard"])
    monkeypatch.setenv("OPENAI_CHAT_MODEL", "from-environment")
    seen.append(load().config.providers["openai"].models["standard"])
    arguments = {"providers": {"openai": {"models": {"standard": "from-argument"}}}}
    loaded = load(overrides=arguments)
    seen.append(loaded.config.providers["openai"].models["standard"])

    default = Config().providers["openai"].models["standard"]
    assert seen == [default, "from-base", "from-overlay", "from-dotenv", "from-environment", "from-argument"]
    assert loaded.sources == (
        "arguments",
        "OPENAI_CHAT_MODEL",
        "config/environments/development.yaml",
        "config/supernova.yaml",
        "built-in defaults",
    )


def test_the_file_is_looked_for_in_the_documented_order(write: Write) -> None:
    """The order is the argument, SUPERNOVA_CONFIG, ./config, and the user's folder."""
    user = write("home/supernova-ai/supernova.yaml", "streaming: true\nrouting: {retries: 0}").absolute()
    assert load(environ={}).sources[0] == str(user)
    write(BASE, "routing: {retries: 1}")
    assert load(environ={}).config.routing.retries == 1
    write("named.yaml", "routing: {retries: 3}")
    named = {"SUPERNOVA_CONFIG": "named.yaml"}
    assert load(environ=named).config.routing.retries == 3
    argument = write("argument.yaml", "routing: {retries: 4}")
    loaded = load(argument, environ=named)
    assert loaded.config.routing.retries == 4
    assert loaded.config.streaming is False  # the other files add nothing


@pytest.mark.parametrize("environ", [{"SUPERNOVA_CONFIG": "missing.yaml"}, {}])
def test_a_named_file_that_is_missing_is_an_error(environ: dict[str, str]) -> None:
    """A file named by argument or variable must exist; the defaults do not replace it silently."""
    with pytest.raises(ConfigError, match=r"no configuration file at missing\.yaml"):
        load(None if environ else "missing.yaml", environ=environ)


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    """An impossible file name is reported like a missing file."""
    with pytest.raises(ConfigError, match="no configuration file at xxx"):
        load("x" * 5000, environ={})


def test_mappings_merge_deep_and_lists_replace(write: Write) -> None:
    """An overlay changes single entries of a mapping, and replaces a list as a whole."""
    write(BASE, "routing:\n  retries: 5\n  breaker: {failures: 9, cooldown: 7}")
    write(
        "config/environments/staging.yaml",
        "routing: {breaker: {cooldown: 8}}\nbudgets: [{name: small, limit: 1, per: week}]",
    )
    config = load(environ={"SUPERNOVA_ENV": "staging"}).config
    assert config.environment == "staging"
    assert (config.routing.retries, config.routing.breaker.failures, config.routing.breaker.cooldown) == (
        5,
        9,
        8,
    )
    assert [budget.name for budget in config.budgets] == ["small"]


def test_a_section_with_all_lines_commented_out_changes_nothing(write: Write) -> None:
    """An empty section keeps the values of weaker sources."""
    write(BASE, "routing:\n  # retries: 5\nproviders:\n")
    assert load(environ={}).config == Config()


def test_a_null_model_removes_the_tier(write: Write) -> None:
    """A model of null removes the default model of a tier."""
    write(BASE, "providers: {ollama: {models: {premium: null}}}")
    assert sorted(load(environ={}).config.providers["ollama"].models) == ["economy", "standard"]


@pytest.mark.parametrize("name", ["development", "staging", "production"])
def test_the_built_in_environments_need_no_overlay(name: str) -> None:
    """Development, staging and production are valid without a file."""
    assert load(environ={"SUPERNOVA_ENV": name}).config.environment == name


def test_an_unknown_environment_is_refused(write: Write) -> None:
    """A misspelt environment is an error with the nearest name, so that production's protection is kept."""
    write(BASE, "")
    with pytest.raises(
        ConfigError, match=r"SUPERNOVA_ENV: environment is 'prodution': .* Did you mean 'production'\?"
    ):
        load(environ={"SUPERNOVA_ENV": "prodution"})


@pytest.mark.parametrize("value", ["[production]", "{name: production}", "5"])
def test_an_environment_that_is_no_text_is_refused(value: str, write: Write) -> None:
    """An environment that is a list is reported together with the other problems."""
    write(BASE, f"environment: {value}\nenabled: maybe")
    with pytest.raises(ConfigError, match=r"(?s)environment.*must be text.*enabled is 'maybe'"):
        load(environ={})


def test_an_environment_is_a_name_and_no_path(write: Write) -> None:
    """SUPERNOVA_ENV cannot reach a file outside the environments folder."""
    write(BASE, "")
    write("config/outside.yaml", "streaming: true")
    write("config/environments/production.yaml", "streaming: true")
    for name in ("../outside", "./production", "production.yaml"):
        with pytest.raises(ConfigError, match="must be one of development, production, staging;"):
            load(environ={"SUPERNOVA_ENV": name})


def test_the_base_file_may_choose_the_environment_and_the_variable_is_stronger(write: Write) -> None:
    """`environment` in the base file chooses the overlay unless SUPERNOVA_ENV or an argument does."""
    write(BASE, "environment: staging")
    write("config/environments/staging.yaml", "streaming: true")
    assert load(environ={}).config.streaming is True
    assert load(environ={"SUPERNOVA_ENV": "production"}).config.streaming is False
    assert load(environ={}, overrides={"environment": "development"}).config.streaming is False


def test_an_overlay_cannot_change_the_environment(write: Write) -> None:
    """An overlay that sets another environment is refused."""
    write(BASE, "")
    write("config/environments/production.yaml", "environment: development")
    with pytest.raises(ConfigError, match=r"production\.yaml:1: environment: an overlay cannot set"):
        load(environ={"SUPERNOVA_ENV": "production"})


def test_dotenv_never_reaches_the_process_environment_nor_the_config(write: Write) -> None:
    """.env sets settings without changing os.environ, and its keys do not enter the configuration."""
    write(".env", "LLM_STREAMING=true\nOPENAI_API_KEY=canary$HOME{x}\n")
    before = dict(os.environ)
    loaded = load()
    assert loaded.config.streaming is True
    assert loaded.sources[0] == ".env: LLM_STREAMING"
    assert dict(os.environ) == before
    assert "canary" not in repr(loaded) + str(loaded.config.shown())
    assert read_environ()["OPENAI_API_KEY"] == "canary$HOME{x}"  # a `$` in a key is literal


def test_a_given_environ_is_the_only_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``environ`` given, neither .env nor the process's variables are read."""
    write(".env", "LLM_STREAMING=true")
    monkeypatch.setenv("LLM_ENABLED", "false")
    assert load(environ={}).config == Config()


def test_the_sources_name_the_process_before_dotenv(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are ordered from the strongest to the weakest, including variables."""
    write(".env", "LLM_ENABLED=true")
    monkeypatch.setenv("OPENAI_CHAT_MODEL", "x")
    assert load().sources == ("OPENAI_CHAT_MODEL", ".env: LLM_ENABLED", "built-in defaults")


def test_an_empty_variable_counts_as_unset(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable of the process does not hide the value in .env or the default."""
    write(".env", "LLM_STREAMING=true\nLLM_ENABLED=\n")
    monkeypatch.setenv("LLM_STREAMING", " ")
    loaded = load()
    assert loaded.config.streaming is True
    assert loaded.config.enabled is True
    assert loaded.sources[0] == ".env: LLM_STREAMING"


def test_origins_name_the_source_of_each_setting(write: Write) -> None:
    """Every setting has as its origin the line, variable or argument that set it."""
    write(BASE, "streaming: true\nrouting:\n  retries: 1\n")
    origins = load(environ={"LLM_PROVIDER": "ollama"}, overrides={"redis": "redis://cache"}).origins
    assert origins["streaming"] == "config/supernova.yaml:1"
    assert origins["routing.retries"] == "config/supernova.yaml:3"
    assert origins["routing.priority"] == "LLM_PROVIDER"
    assert origins["redis"] == "argument"
    assert origins["routing.strategy"] == "built-in defaults"


def test_the_version_depends_on_the_content_not_its_spelling(write: Write) -> None:
    """Equal configurations have equal versions, however they are written; another value changes it."""
    write(BASE, "budgets: [{name: daily, limit: 50.00, per: day}]")
    first = load(environ={})
    second = load(
        write("other.yaml", "# a comment\nbudgets:\n- per: day\n  limit: '50'\n  name: daily\n"), environ={}
    )
    third = load(environ={"LLM_DAILY_COST_LIMIT": "50.01"})
    assert first.config == second.config
    assert first.version == second.version != third.version
    assert len(first.version) == 12
    assert int(first.version, 16) >= 0


def test_a_password_is_neither_shown_nor_part_of_the_version() -> None:
    """Passwords in URLs are neither in repr nor in ``shown()``, and changing one keeps the version."""

    def version(password: str) -> str:
        overrides = {
            "database": f"postgresql://ann:{password}@db/nova",
            "redis": f"redis://:{password}@cache",
            "alerts": {"notify": [f"slack://{password}/b/c"]},
        }
        loaded = load(environ={}, overrides=overrides)
        assert loaded.database == f"postgresql://ann:{password}@db/nova"
        assert password not in repr(loaded) + str(loaded.config.shown())
        return loaded.version

    assert version("canary-one") == version("canary-two")


def test_a_reference_to_the_vault_is_shown() -> None:
    """The vault name of a notification URL is shown, and another name changes the version."""
    first, second = (
        load(environ={}, overrides={"alerts": {"notify": [f"vault:{n}"]}}) for n in ("ops", "dev")
    )
    assert first.config.shown()["alerts"]["notify"] == ["vault:ops"]
    assert first.version != second.version


def test_spikes_can_be_switched_off(write: Write) -> None:
    """A factor of null keeps the rest of the section."""
    write(BASE, "alerts: {spike: {factor: null}}")
    spike = load(environ={}).config.alerts.spike
    assert (spike.factor, spike.least) == (None, Decimal(1))


def test_the_database_is_in_the_data_folder_unless_named(folder: Path) -> None:
    """The database is the configured one, or a file in SUPERNOVA_HOME or in the user's data folder."""
    home = {"SUPERNOVA_HOME": str(folder / "elsewhere")}
    assert load(environ=home).database == str(folder / "elsewhere" / "supernova.db")
    assert load(environ=home, overrides={"database": "here.db"}).database == "here.db"
    assert data_folder({}).name == "supernova-ai"
    assert data_folder({}).is_relative_to(folder / "home")


def test_environment_keys_are_allowed_except_in_production() -> None:
    """environment_keys_allowed depends on the environment unless keys.allow_environment is set."""
    assert Config().environment_keys_allowed is True
    assert Config(environment="production").environment_keys_allowed is False
    refused = load(environ={"SUPERNOVA_ENV": "staging"}, overrides={"keys": {"allow_environment": False}})
    assert refused.config.environment_keys_allowed is False


def test_only_enabled_providers_in_the_priority_are_active() -> None:
    """active_providers has the order of the priority, without disabled and unlisted providers."""
    off = {
        "providers": {"openai": {"enabled": False}},
        "routing": {"priority": ["ollama", "openai", "anthropic"]},
    }
    assert load(environ={}, overrides=off).config.active_providers == ("ollama", "anthropic")


def test_a_config_made_in_code_is_checked_like_the_yaml() -> None:
    """A Config built in code is validated like the YAML."""
    with pytest.raises(ValueError, match="must be one of 'providers'"):
        Config(routing=Routing(priority=("opnai",)))


def test_a_config_made_in_code_has_the_version_and_database_of_a_loaded_one(folder: Path) -> None:
    """Wrapping a Config gives the same version and database as loading it."""
    home = {"SUPERNOVA_HOME": str(folder)}
    wrapped, loaded = Loaded.of(Config(), environ=home), load(environ=home)
    assert (wrapped.config, wrapped.version, wrapped.database) == (
        loaded.config,
        loaded.version,
        loaded.database,
    )
    assert wrapped.sources == ("argument",)


def test_amounts_are_exact_decimals(write: Write) -> None:
    """A limit of 0.1 is exactly one tenth."""
    write(BASE, "budgets: [{name: tiny, limit: 0.1, per: day}]")
    assert load(environ={}).config.budgets[0].limit == Decimal("0.1")


def test_importing_the_configuration_is_light() -> None:
    """Importing the configuration imports neither LiteLLM nor keyring, so commands start fast."""
    code = "import sys, supernova_ai.config; print({'litellm', 'keyring'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_home_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME and a home folder in the system, loading fails and no folder named "~" is created."""
    import pwd

    def getpwuid(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "SUPERNOVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for environ in ({}, {"SUPERNOVA_HOME": "~/nova"}, {"SUPERNOVA_CONFIG": "~/nova.yaml"}):
        with pytest.raises(ConfigError, match=r"there is no home folder .* set SUPERNOVA_HOME"):
            load(environ=environ)
    assert load(environ={"SUPERNOVA_HOME": "/srv/nova"}).database == "/srv/nova/supernova.db"
    assert list(tmp_path.iterdir()) == []
