"""A server with a self-signed certificate gets no key."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai import ConfigError, ProviderUnavailable, Supernova
from supernova_ai.litellm_adapter.setup import litellm
from tests.litellm_adapter.test_network import ANSWER, provider
from tests.servers import Server, self_signed

Open = Callable[..., Supernova]
Switch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "impostor.pem")


@pytest.fixture
def impostor(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    answer = (200, {"content-type": "application/json"}, json.dumps(ANSWER).encode())
    with Server(lambda _: answer, context) as server:
        yield server


def by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_VERIFY", "False")


def by_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "ssl_verify", False)


OFF = pytest.mark.parametrize("switch", [by_variable, by_program])
WHO = pytest.mark.parametrize("name", ["openai", "anthropic", "perplexity"])


@WHO
async def test_self_signed_certificate_is_refused(name: str, open_nova: Open, impostor: Server) -> None:
    """By default the connection fails before anything is sent."""
    nova = open_nova(provider(name, impostor.url))
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    assert all(probe.result != "ok" for probe in await nova.probe())
    assert impostor.sent == []


@OFF
async def test_no_client_opens_with_tls_checks_off(
    switch: Switch, open_nova: Open, impostor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the checks are switched off, opening a client fails, and names the switch and the remedy."""
    switch(monkeypatch)
    with pytest.raises(ConfigError, match=r"(SSL_VERIFY|ssl_verify).* is False.*'verify_tls: false'"):
        await open_nova(provider("openai", impostor.url)).chat("What now?")
    assert impostor.sent == []


@OFF
@WHO
async def test_checks_that_are_switched_off_later_stop_calls(
    switch: Switch, name: str, open_nova: Open, impostor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a call nor a probe sends the key after the program switched the checks off."""
    nova = open_nova(provider(name, impostor.url))
    await nova.warm_up()
    switch(monkeypatch)
    with pytest.raises(ConfigError, match="verify_tls"):
        await nova.chat("What now?")
    assert all(probe.result == "ConfigError" for probe in await nova.probe(pay=True))
    assert impostor.sent == []


@OFF
async def test_verify_tls_false_allows_it(
    switch: Switch,
    open_nova: Open,
    impostor: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With ``verify_tls: false`` LiteLLM's switches apply, and the log warns."""
    switch(monkeypatch)
    nova = open_nova(provider("openai", impostor.url), verify_tls=False)
    assert (await nova.chat("What now?")).content == "Hi"
    assert [probe.result for probe in await nova.probe()] == ["ok"]
    assert "engine.tls.unverified" in caplog.text


async def test_ssl_cert_file_trusts_a_certificate(
    open_nova: Open, impostor: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE`` makes calls and probes trust it, with the checks on."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    nova = open_nova(provider("openai", impostor.url))
    assert (await nova.chat("What now?")).content == "Hi"
    assert [probe.result for probe in await nova.probe()] == ["ok"]
