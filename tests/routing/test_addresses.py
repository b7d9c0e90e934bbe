"""Provider addresses come from the configuration, not from variables of LiteLLM or its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import Config, ConfigError, Supernova
from supernova_ai.config.providers import default_providers
from supernova_ai.routing import deployments as fleet
from supernova_ai.routing import provider_checks
from supernova_ai.testing import StubProvider, closed_port
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
    "ollama": ("OLLAMA_API_BASE", "OLLAMA_HOST"),
    "huggingface": ("HUGGINGFACE_API_BASE", "HF_API_BASE", "HF_ENDPOINT"),
}


NEEDED = {"bedrock": {"region": "eu-west-1"}, "vertex_ai": {"project": "p", "region": "global"}}


def config_for(provider: str, **settings: object) -> Config:
    models = {"standard": "some-model"}
    return Config.model_validate(
        {"providers": {provider: {"models": models, **settings}}, "routing": {"priority": [provider]}}
    )


@pytest.mark.parametrize(
    ("provider", "variable"), [(name, variable) for name, names in VARIABLES.items() for variable in names]
)
def test_variable_does_not_change_an_address(
    provider: str, variable: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LiteLLM gets the provider's own address, and the log says that the variable is ignored."""
    monkeypatch.setenv(variable, "http://elsewhere.test/v1")
    config = config_for(provider)
    with caplog.at_level(logging.WARNING):
        provider_checks.check_providers(config)
    assert f"engine.address.ignored reason={variable} is ignored" in caplog.text
    (given,) = {d["litellm_params"]["api_base"] for d in fleet.model_list(config, fleet.build(config))}
    assert "elsewhere" not in given


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("groq", "GROQ_API_BASE"),
        ("together_ai", "TOGETHERAI_API_BASE"),
        ("azure_ai", "AZURE_AI_API_BASE"),
        ("watsonx", "WATSONX_URL"),
        ("bedrock", "AWS_BEDROCK_RUNTIME_ENDPOINT"),
        ("vertex_ai", "VERTEXAI_API_BASE"),
    ],
)
def test_variable_that_changes_an_unknown_address_is_refused(
    provider: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only LiteLLM knows the address, the error names the variable that changes it and the setting."""
    monkeypatch.setenv(variable, "http://elsewhere.test/v1")
    needed = NEEDED.get(provider, {})
    with pytest.raises(ConfigError, match=rf"{variable} is set.*providers\.{provider}\.api_base"):
        provider_checks.check_providers(config_for(provider, **needed))
    provider_checks.check_providers(config_for(provider, api_base="https://here.test/v1", **needed))


def test_the_variable_of_a_setting_is_not_called_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``OLLAMA_BASE_URL`` sets ``api_base``, so nothing is ignored, even if it names the usual address."""
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://localhost:11434")
    provider_checks.check_providers(config_for("ollama", api_base="http://localhost:11434"))
    assert caplog.text == ""


def test_a_provider_of_ones_own_that_is_never_asked_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the remedy; providers of the defaults that are left out of ``priority`` get none."""
    own = {"type": "openai", "api_base": "http://localhost:8000/v1", "models": {"standard": "m"}, "keys": []}
    providers = {"mylab": own, "off": own | {"enabled": False}, "later": own | {"models": {}}}
    config = Config.model_validate(
        {"providers": {**default_providers(), **providers}, "routing": {"priority": ["openai"]}}
    )
    provider_checks.check_providers(config)
    assert caplog.text.count("engine.provider.never_asked") == 1
    assert "supernova config set routing.priority '[openai, mylab]'" in caplog.text


def test_a_socks_proxy_is_refused_for_remote_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is a ConfigError for remote providers: neither HTTP client can use it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ConfigError, match="only HTTP proxies are supported"):
        provider_checks.check_providers(config_for("openai"))
    provider_checks.check_providers(config_for("openai", api_base="http://localhost:8000/v1"))


@pytest.mark.parametrize("provider", clients.PROVIDERS)
async def test_local_addresses_bypass_the_proxy(
    provider: str, open_nova: Open, stub_provider: Stub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls, streams and probes reach a model on this machine directly, whatever the proxy variables say."""
    stub = stub_provider("Diversify.")
    with closed_port() as dead:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{dead}")
        monkeypatch.setenv("NO_PROXY", "[fe80::1],fd00::/8")
        nova = open_nova({provider: stub.url})
        assert [probe.result for probe in await nova.probe()] == ["ok"]
        for streaming in (False, True):
            assert (await nova.chat("What now?", streaming=streaming)).content == "Diversify."
