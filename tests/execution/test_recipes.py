"""The recipes of docs/providers.md: each is valid and priced, and a call with it sends what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from supernova_ai import Supernova
from supernova_ai.config import Config, load
from supernova_ai.keys.formats import with_fields
from supernova_ai.pricing import prices
from supernova_ai.routing import provider_checks
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import StubProvider
from tests import clients
from tests.execution.test_cloud_providers import AWS, GOOGLE, completed, converse, generate, put
from tests.servers import Server

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]
Rows = Callable[[], list[AttemptRow]]

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")
RECIPES = {
    title: text
    for part in PAGE.split("\n### ")[1:]
    for title, text in [(part.partition("\n")[0], part)]
    if "```yaml" in text
}
OPENAI = ["groq", "deepseek", "mistral", "openrouter", "xai", "together_ai", "mylab"]
"""Providers of recipes that speak OpenAI's protocol, which the stub provider speaks."""


def written(title: str) -> Iterator[str]:
    """Yield the YAML of a recipe."""
    yield from re.findall(r"```yaml\n(.*?)```", RECIPES[title], re.DOTALL)


def loaded(text: str, folder: Path) -> Config:
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ={"SUPERNOVA_HOME": str(folder)}).config


def recipe_of(provider: str) -> dict[str, Any]:
    """Return a provider's section as the page has it, but for its address."""
    sections = [yaml.safe_load(text)["providers"] for title in RECIPES for text in written(title)]
    found = next(section[provider] for section in sections if provider in section)
    return {name: value for name, value in found.items() if name != "api_base"}


def test_the_page_has_the_recipes_that_were_promised() -> None:
    """Each of these ten providers has a recipe."""
    named = {
        (provider.get("type") or name)
        for title in RECIPES
        for text in written(title)
        for name, provider in yaml.safe_load(text)["providers"].items()
    }
    assert named >= {*OPENAI[:-1], "gemini", "azure", "bedrock", "vertex_ai", "openai"}


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_is_valid_and_priced(title: str, tmp_path: Path) -> None:
    """It loads, LiteLLM knows its provider, every model has a price, and every provider is asked."""
    for text in written(title):
        config = loaded(text, tmp_path)
        assert provider_checks.unknown_providers(config) == []
        assert provider_checks.models_without_price(config) == []
        assert provider_checks.never_asked(config) == []


@pytest.mark.parametrize("provider", OPENAI)
@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_a_call_with_a_recipe(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub, attempts: Rows
) -> None:
    """Only its address is another one here: the key, the path, the model and the cost are the recipe's."""
    stub = stub_provider("Diversify.")
    recipe = recipe_of(provider)
    nova = open_nova({provider: recipe | {"url": f"{stub.url}/v1"}})
    reply = await nova.chat("What now?", streaming=streaming, model=recipe["models"]["standard"])
    (request,), (row,) = stub.requests, attempts()
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {clients.key_of(provider)}"
    assert request.json["model"] == recipe["models"]["standard"]
    assert {name: request.headers.get(name.lower()) for name in headers_of(recipe)} == headers_of(recipe)
    price = prices.find(recipe.get("type", provider), row.model, nova.config.providers[provider])
    assert price is not None
    assert (row.provider, row.cost) == (provider, price.cost(reply.usage))
    assert row.cost > 0


def headers_of(recipe: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = recipe.get("params", {}).get("extra_headers", {})
    return found


CLOUD: dict[str, Any] = {
    "gemini": (generate, "/models/gemini-3.8-flash:generateContent", None),
    "azure": (completed, "/openai/deployments/gpt-6.1-sol/chat/completions?api-version=2025", None),
    "bedrock": (converse, "/model/eu.anthropic.claude-sonnet-5-5/converse", with_fields("bedrock", AWS)),
    "vertex_ai": (
        generate,
        "/projects/my-project/locations/global/publishers/google/models/gemini-3.8-flash:generateContent",
        with_fields("vertex_ai", GOOGLE),
    ),
}


@pytest.mark.parametrize("provider", CLOUD)
async def test_a_call_with_a_recipe_of_another_protocol(
    provider: str, open_nova: Open, path: Path, attempts: Rows
) -> None:
    """The path names the model, and the deployment, project and region as the recipe has them."""
    answer, asked, key = CLOUD[provider]
    with Server(answer) as server:
        nova = open_nova({provider: recipe_of(provider) | {"url": server.url}})
        if key is not None:
            put(path, provider, key)
        reply = await nova.chat("What now?")
    (sent,), (row,) = server.sent, attempts()
    assert asked in sent.path
    price = prices.find(provider, row.model, nova.config.providers[provider])
    assert price is not None
    assert (row.state, row.cost) == ("settled", price.cost(reply.usage))
    assert row.cost > 0
