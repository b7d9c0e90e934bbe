"""Proxies and certificate authorities of the environment: calls and probes use them alike."""

from __future__ import annotations

import datetime
import json
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from supernova_ai import ProviderUnavailable, Supernova
from supernova_ai.testing import StubProvider
from tests import clients
from tests.litellm_adapter.test_network import ANSWER
from tests.servers import Server

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]

HOST = "llm.example.test"  # resolves nowhere: only the proxy can reach it


class Proxy:
    """An HTTP proxy on this machine that notes each request's first line.

    It answers plain requests itself, and connects every tunnel to ``port``, or refuses it with ``refusal``.
    """

    def __init__(self, port: int = 0, refusal: str = "") -> None:
        self.asked: list[str] = []
        asked = self.asked
        body = json.dumps(ANSWER).encode()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line, length = self.rfile.readline().decode().strip(), 0
                while header := self.rfile.readline().strip().lower():
                    if header.startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                asked.append(line)
                if refusal:
                    self.wfile.write(f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n".encode())
                elif line.startswith("CONNECT "):
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _tunnel(self.connection, port)
                else:
                    self.rfile.read(length)
                    head = (
                        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
                    )
                    self.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _tunnel(client: socket.socket, port: int) -> None:
    """Pass bytes both ways until one side ends."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for one in ready:
                data = one.recv(65_536)
                if not data:
                    return
                (server if one is client else client).sendall(data)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The certificate of an authority, and a key and certificate for ``HOST`` that it signed."""
    folder = tmp_path_factory.mktemp("authority")
    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate(
        "An authority", ours, "An authority", ours, x509.BasicConstraints(ca=True, path_length=0)
    )
    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    leaf = _certificate(HOST, theirs, "An authority", ours, names)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    plain = theirs.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "host.pem").write_bytes(plain + leaf.public_bytes(serialization.Encoding.PEM))
    return folder / "ca.pem", folder / "host.pem"


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    public = signer.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture
def provider(authority: tuple[Path, Path]) -> Iterator[Server]:
    """A provider by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority[1])
    answer = (200, {"content-type": "application/json"}, json.dumps(ANSWER).encode())
    with Server(lambda _: answer, context) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        for variable in (name, name.lower()):
            monkeypatch.delenv(variable, raising=False)


SETTINGS = {
    "type": "openai",
    "models": {"standard": "some-model"},
    "price": "free",
    "keys": ["primary"],
}


async def test_tls_through_a_proxy_with_an_authority_of_ones_own(
    open_nova: Open, provider: Server, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy only gets CONNECT; call and probe trust the authority in ``SSL_CERT_FILE``."""
    with Proxy(provider.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
        nova = open_nova({"mylab": SETTINGS | {"url": f"https://{HOST}/v1"}})
        assert (await nova.chat("What now?")).content == "Hi"
        assert [probe.result for probe in await nova.probe()] == ["ok"]
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"] * 2
    assert [sent.path for sent in provider.sent] == ["/v1/chat/completions", "/v1/models"]
    assert {sent.headers["authorization"] for sent in provider.sent} == {f"Bearer {clients.key_of('mylab')}"}


async def test_an_unknown_authority_is_refused_behind_a_proxy_too(
    open_nova: Open, provider: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``SSL_CERT_FILE`` the connection fails before the key is sent."""
    with Proxy(provider.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        nova = open_nova({"mylab": SETTINGS | {"url": f"https://{HOST}/v1"}})
        with pytest.raises(ProviderUnavailable):
            await nova.chat("What now?")
        assert [probe.result for probe in await nova.probe()] == ["ProviderUnavailable"]
    assert provider.sent == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_the_tunnel_costs_nothing(
    refusal: str, streaming: bool, open_nova: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider got nothing, so the hold is released, and the error has the proxy's words."""
    priced = {name: value for name, value in SETTINGS.items() if name != "price"} | {
        "prices": {"some-model": {"input": "1", "output": "1"}},
        "url": f"https://{HOST}/v1",
    }
    with Proxy(refusal=refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProviderUnavailable, match=refusal[4:]):
            await open_nova({"mylab": priced}).chat("What now?", streaming=streaming)
    rows = clients.attempts(path)
    assert rows
    assert {(row.state, row.cost) for row in rows} == {("released", 0)}


async def test_plain_http_through_a_proxy(open_nova: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network that is trusted, the proxy gets the whole address."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        nova = open_nova({"mylab": SETTINGS | {"url": f"http://{HOST}/v1"}}, require_tls=False)
        assert (await nova.chat("What now?")).content == "Hi"
        assert [probe.result for probe in await nova.probe()] == ["ok"]
    assert proxy.asked == [
        f"POST http://{HOST}/v1/chat/completions HTTP/1.1",
        f"GET http://{HOST}/v1/models HTTP/1.1",
    ]


async def test_a_server_on_this_machine_is_never_asked_through_a_proxy(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither call, stream nor probe reaches the proxy, whatever the variables say."""
    stub = stub_provider("Diversify.")
    with Proxy() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        nova = open_nova({"mylab": SETTINGS | {"url": f"{stub.url}/v1"}})
        for streaming in (False, True):
            assert (await nova.chat("What now?", streaming=streaming)).content == "Diversify."
        assert [probe.result for probe in await nova.probe()] == ["ok"]
    assert proxy.asked == []
