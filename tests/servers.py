"""Servers on loopback: one that keeps what it is sent, and stub providers that all tell the same text."""

from __future__ import annotations

import datetime
import ipaddress
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from supernova_ai.testing import Answer, Cut, Failure, Garbled, Hang, Received, Reset, Step


class Sent(NamedTuple):
    """One request: its path, its headers in lower case, its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Answers every request alike, until closed.

    Args:
        answer: gives status, headers and body for a request.
        tls: makes it speak HTTPS.
    """

    def __init__(
        self, answer: Callable[[Sent], tuple[int, Mapping[str, str], bytes]], tls: SSLContext | None = None
    ) -> None:
        self.sent: list[Sent] = []
        kept = self.sent

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                sent = Sent(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                kept.append(sent)
                status, headers, content = answer(sent)
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do  # noqa: N815 - the names that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def self_signed(file: Path) -> Path:
    """Write a key and a self-signed certificate for 127.0.0.1 into the file, and return it."""
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
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(plain + made.public_bytes(serialization.Encoding.PEM))
    return file


def telling(step: Step, text: str) -> Step:
    """Return the step with this text for its own, if it has one."""
    if isinstance(step, Answer | Cut | Failure | Garbled | Hang | Reset):
        return replace(step, text=text)
    return step


def said_before(request: Received) -> str:
    """Return what the request says was answered already; empty if it does not ask to go on."""
    said = [_words(m["content"]) for m in request.json["messages"] if m["role"] == "assistant"]
    return said[-1] if said else ""


def rest_of(text: str, request: Received) -> str:
    """Return what is left of the text for this request, as models go on: without the space before it."""
    return text.removeprefix(said_before(request)).lstrip()


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
