"""The defaults are valid and priced, and equal in the code, the YAML and the docs."""

from __future__ import annotations

import datetime
import importlib.util
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import supernova_ai.config
from supernova_ai.config import Config, load
from supernova_ai.config.environment import NOT_SETTINGS, VARIABLES
from supernova_ai.config.nodes import read_yaml, to_plain
from supernova_ai.errors import ConfigError

ROOT = Path(__file__).parents[2]
YAML = ROOT / "config" / "supernova.yaml"


@pytest.fixture(scope="module")
def price_map() -> dict[str, Any]:
    """LiteLLM's bundled price map, read as a file, because importing LiteLLM takes seconds."""
    package = importlib.util.find_spec("litellm")
    assert package
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0], "model_prices_and_context_window_backup.json")
    prices: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return prices


@pytest.mark.parametrize("tier", ["economy", "standard", "premium"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_default_models_are_current_and_priced(price_map: dict[str, Any], provider: str, tier: str) -> None:
    """Each default model of OpenAI and Anthropic is a chat model with a price, and not deprecated."""
    entry = price_map[Config().providers[provider].models[tier]]  # type: ignore[index]
    assert entry["mode"] == "chat"
    assert entry["litellm_provider"] == provider
    assert entry["input_cost_per_token"] > 0
    assert entry["output_cost_per_token"] > 0
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    assert entry.get("deprecation_date", "9999") > today


@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface"])
def test_a_dearer_tier_has_no_cheaper_model(price_map: dict[str, Any], provider: str) -> None:
    """A cheaper tier costs less, so that degrading helps a budget."""
    section = Config().providers[provider]

    def price(model: str) -> Decimal:
        if model in section.prices:
            return section.prices[model].output
        return Decimal(str(price_map[model]["output_cost_per_token"]))

    prices = [price(section.models[tier]) for tier in ("economy", "standard", "premium")]
    assert prices == sorted(prices)


def test_default_huggingface_models_have_a_price_in_the_configuration() -> None:
    """LiteLLM has no prices for the router's models, so the configuration prices each default one."""
    section = Config().providers["huggingface"]
    assert set(section.models.values()) == set(section.prices)


def test_default_ollama_is_free_local_and_needs_no_key() -> None:
    """Ollama costs nothing, is on this machine, and has no key slots."""
    section = Config().providers["ollama"]
    assert (section.price, section.keys, section.api_base) == ("free", (), "http://localhost:11434")


def test_the_yaml_equals_the_defaults() -> None:
    """Loading config/supernova.yaml, with or without defaults under it, gives the built-in defaults."""
    assert load(YAML, environ={}).config == Config()
    assert Config.model_validate(to_plain(read_yaml(YAML, YAML.read_bytes())[0])) == Config()


def test_the_yaml_names_every_setting() -> None:
    """config/supernova.yaml contains every setting."""
    text = YAML.read_text(encoding="utf-8")
    assert [name for name, _ in _settings(Config) if f"{name.split('.')[-1]}:" not in text] == []


@pytest.mark.parametrize("name", ["development", "production"])
def test_the_overlays_load(name: str) -> None:
    """The project's overlays are valid; production refuses environment keys."""
    loaded = load(YAML, environ={"SUPERNOVA_ENV": name})
    assert f"{name}.yaml" in loaded.sources[1]
    assert loaded.config.environment_keys_allowed is (name != "production")


def test_the_docs_list_every_setting_with_its_default() -> None:
    """docs/configuration.md has exactly one row for each setting, with its default."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `([a-z][^`]*)` \| `([^`]*)` \|", text)
    assert sorted(rows) == sorted(_settings(Config))


def test_the_docs_list_every_variable() -> None:
    """docs/configuration.md has a row for each environment variable with its setting."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"(?m)^\| `([A-Z_]+)` \| (.*?) \|", text))
    assert set(rows) == {variable.name for variable in VARIABLES} | NOT_SETTINGS
    for variable in VARIABLES:
        assert not variable.sets or f"`{'.'.join(map(str, variable.sets))}`" in rows[variable.name]


def test_the_error_in_the_docs_is_the_real_one(folder: Path) -> None:
    """The wrong YAML in the docs gives exactly the message shown below it."""
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    yaml, message = re.findall(
        r"```yaml\n(# config/supernova.yaml\n.*?)```.*?```text\n(.*?)```", text, re.DOTALL
    )[0]
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text(yaml)
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    assert str(caught.value) == message.strip()


def _settings(model: type[Any], at: str = "") -> list[tuple[str, str]]:
    """Return each setting's dotted name with its default as YAML."""
    found: list[tuple[str, str]] = []
    for name, field in model.model_fields.items():
        kind, path = str(field.annotation), f"{at}{name}"
        inner = {"Provider": "providers.<name>.", "Budget": "budgets[].", "Price": f"{path}.<model>."}
        section = next((part for part in inner if re.search(rf"(?:schema|providers)\.{part}\b", kind)), None)
        if section:
            found += _settings(getattr(supernova_ai.config, section), inner[section])
        elif hasattr(field.annotation, "model_fields"):
            found += _settings(field.annotation, f"{path}.")
        else:
            default = field.get_default()
            said = "required" if field.is_required() else json.dumps(default, default=str).replace('"', "")
            found.append((path, said))
    return found
