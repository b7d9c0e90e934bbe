"""Provider addresses come from the configuration, not from variables of LiteLLM or its clients."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import Config, ConfigError, Supernova
from supernova_ai.routing import deployments as fleet
from supernova_ai.testing import StubProvider, closed_port
from tests import clients

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

VARIABLES = {
    "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    "anthropic": ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
    "ollama": ("OLLAMA_API_BASE",),
    "huggingface": ("HUGGINGFACE_API_BASE",),
}


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
        fleet.check_providers(config)
    assert f"engine.address.ignored variable={variable}" in caplog.text
    (given,) = {d["litellm_params"]["api_base"] for d in fleet.model_list(config, fleet.build(config))}
    assert "elsewhere" not in given


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("groq", "GROQ_API_BASE"), ("together_ai", "TOGETHERAI_API_BASE"), ("azure", "AZURE_API_BASE")],
)
def test_variable_that_changes_an_unknown_address_is_refused(
    provider: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only LiteLLM knows the address, the error names the variable that changes it and the setting."""
    monkeypatch.setenv(variable, "http://elsewhere.test/v1")
    with pytest.raises(ConfigError, match=rf"{variable} is set.*providers\.{provider}\.api_base"):
        fleet.check_providers(config_for(provider))
    fleet.check_providers(config_for(provider, api_base="https://here.test/v1"))


def test_a_socks_proxy_is_refused_for_remote_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is a ConfigError for remote providers: neither HTTP client can use it."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(ConfigError, match="only HTTP proxies are supported"):
        fleet.check_providers(config_for("openai"))
    fleet.check_providers(config_for("openai", api_base="http://localhost:8000/v1"))


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
