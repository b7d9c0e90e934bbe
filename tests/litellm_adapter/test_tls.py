"""An impostor, with a certificate that nobody signed, gets no key."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from supernova_ai import ConfigError, ProviderUnavailable, Supernova
from supernova_ai.litellm_adapter.setup import litellm
from tests.litellm_adapter.test_network import ANSWER, provider
from tests.servers import Server

Open = Callable[..., Supernova]
Switch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "impostor")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "impostor.pem"
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(plain + made.public_bytes(serialization.Encoding.PEM))
    return file


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
async def test_an_impostor_is_not_believed(name: str, open_nova: Open, impostor: Server) -> None:
    """As things are by default, the connection fails before anything is sent."""
    nova = open_nova(provider(name, impostor.url))
    with pytest.raises(ProviderUnavailable):
        await nova.chat("What now?")
    assert all(probe.result != "ok" for probe in await nova.probe())
    assert impostor.sent == []


@OFF
async def test_no_client_opens_without_checks(
    switch: Switch, open_nova: Open, impostor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something switches the checks off, opening says what, and how to mend it."""
    switch(monkeypatch)
    with pytest.raises(ConfigError, match=r"(SSL_VERIFY|ssl_verify).* is False.*'verify_tls: false'"):
        await open_nova(provider("openai", impostor.url)).chat("What now?")
    assert impostor.sent == []


@OFF
@WHO
async def test_a_check_switched_off_later_is_noticed(
    switch: Switch, name: str, open_nova: Open, impostor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a call nor a probe sends the key once the program has changed its mind."""
    nova = open_nova(provider(name, impostor.url))
    await nova.warm_up()
    switch(monkeypatch)
    with pytest.raises(ConfigError, match="verify_tls"):
        await nova.chat("What now?")
    assert all(probe.result == "ConfigError" for probe in await nova.probe(pay=True))
    assert impostor.sent == []


@OFF
async def test_who_must_may(
    switch: Switch,
    open_nova: Open,
    impostor: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With ``verify_tls: false`` it is as LiteLLM would have it, and the log warns."""
    switch(monkeypatch)
    nova = open_nova(provider("openai", impostor.url), verify_tls=False)
    assert (await nova.chat("What now?")).content == "Hi"
    assert [probe.result for probe in await nova.probe()] == ["ok"]
    assert "engine.tls.unverified" in caplog.text


async def test_a_certificate_of_ones_own_is_trusted_by_name(
    open_nova: Open, impostor: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE`` is how to trust it, by calls and probes alike: nothing is switched off for that."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    nova = open_nova(provider("openai", impostor.url))
    assert (await nova.chat("What now?")).content == "Hi"
    assert [probe.result for probe in await nova.probe()] == ["ok"]
