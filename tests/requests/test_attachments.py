"""Attachments: what is read, how the kind is recognised, and what is refused."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.client import HTTPException
from io import BytesIO
from itertools import chain, count, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pypdf import PdfWriter

from supernova_ai import InvalidRequest
from supernova_ai.config import Attachments
from supernova_ai.requests import attachment_urls as addresses
from supernova_ai.requests.attachments import AttachmentSource, attach
from supernova_ai.types import Attachment, Request
from tests.servers import self_signed

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
USUAL = Attachments()
URLS = Attachments(urls=True)
REQUEST = Request("r", ({"role": "user", "content": "What is this?"},), "standard", "chat", 10)


def load(given: Sequence[AttachmentSource], settings: Attachments) -> tuple[Attachment, ...]:
    return attach(REQUEST, given, settings).attachments


def pdf(pages: int = 1, password: str | None = None) -> bytes:
    writer, file = PdfWriter(), BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password:
        writer.encrypt(password)
    writer.write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "media_type", "pages"),
    [
        (PNG, "image/png", None),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg", None),
        (b"GIF89a rest", "image/gif", None),
        (b"RIFF\x10\0\0\0WEBPrest", "image/webp", None),
        (pdf(), "application/pdf", 1),
        (pdf(3), "application/pdf", 3),
    ],
)
def test_kind_is_recognised_by_the_first_bytes(
    data: bytes, media_type: str, pages: int | None, tmp_path: Path
) -> None:
    """Bytes, a path and a path as text give the same, whatever the file's name."""
    file = tmp_path / "misnamed.txt"
    file.write_bytes(data)
    for given in (data, file, str(file)):
        (found,) = load([given], USUAL)
        assert (found.media_type, found.data, found.pages) == (media_type, data, pages)
        assert found.kind == ("image" if pages is None else "pdf")


def bomb(streams: int, size: int) -> bytes:
    """Return a PDF whose one page and filler objects are in so many compressed object streams."""
    offsets: dict[int, int] = {}
    file = bytearray(b"%PDF-1.7\n")

    def add(number: int, head: str, body: bytes = b"") -> None:
        offsets[number] = len(file)
        stream = b"stream\n" + body + b"\nendstream\n" if body else b""
        file.extend(f"{number} 0 obj\n<<{head}>>\n".encode() + stream + b"endobj\n")

    first = 100
    kids = " ".join(f"{first + n} 0 R" for n in range(streams))
    add(1, "/Type /Catalog /Pages 2 0 R")
    add(2, f"/Type /Pages /Count {streams} /Kids [{kids}]")
    for n in range(streams):
        index = f"{first + n} 0 ".encode()
        page = b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 9 9]>>" + b" " * size
        packed = zlib.compress(index + page, 9)
        add(
            10 + n,
            f"/Type /ObjStm /N 1 /First {len(index)} /Filter /FlateDecode /Length {len(packed)}",
            packed,
        )
    rows = {number: (1, at, 0) for number, at in offsets.items()}
    rows |= {first + n: (2, 10 + n, 0) for n in range(streams)} | {0: (0, 0, 0), 9: (1, len(file), 0)}
    table = b"".join(struct.pack(">BIH", *rows[number]) for number in sorted(rows))
    sections = " ".join(f"{number} 1" for number in sorted(rows))
    start = len(file)
    add(9, f"/Type /XRef /Size 200 /W [1 4 2] /Index [{sections}] /Root 1 0 R /Length {len(table)}", table)
    return bytes(file) + f"startxref\n{start}\n%%EOF".encode()


@pytest.mark.proof
@pytest.mark.no_cover  # the memory that is measured would be coverage's too
def test_pdf_is_decompressed_up_to_a_limit() -> None:
    """Neither one part nor all parts together may exceed 32 MiB."""
    (found,) = load([bomb(5, 10)], USUAL)
    assert found.pages == 5
    for streams, size in ((1, 33 * 2**20), (12, 3 * 2**20)):
        document = bomb(streams, size)
        assert len(document) < 200_000
        tracemalloc.start()
        try:
            with pytest.raises(InvalidRequest, match="damaged PDF"):
                load([document], USUAL)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 130 * 2**20


def test_repr_has_no_bytes() -> None:
    """Without the bytes in its repr, they are in no log and no traceback."""
    (found,) = load([PNG + b"my face"], USUAL)
    assert "face" not in repr(found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PNG, "attachments must be a list, not bytes"),
        ("chart.png", "attachments must be a list, not str"),
        (5, "attachments must be a list"),
        ([5], "attachment 1 must be bytes, a path or an address, not int"),
        ([PNG, b""], "attachment 2 is neither a PNG"),
        ([b"MZ\x90\0 a program"], "attachment 1 is neither a PNG, JPEG, WebP or GIF image nor a PDF"),
        ([b"<svg/>"], "neither"),
        (["/nowhere/chart.png"], "attachment 1 (/nowhere/chart.png) cannot be read: "),
        (["/"], "cannot be read"),
        (["half\0name"], "cannot be read"),
        ([b"%PDF-1.7 nonsense"], "attachment 1 is a damaged PDF"),
        ([pdf(1, "secret")], "attachment 1 is an encrypted PDF"),
        ([pdf(0)], "attachment 1 is a PDF without pages"),
        ([PNG] * 21, "21 attachments are too many"),
        (["https://example.org/chart.png"], "set 'attachments.urls: true'"),
        (["file:///etc/passwd"], "set 'attachments.urls: true'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusal_names_the_attachment(given: Any, words: str) -> None:
    """The error says which attachment is refused, and what would be right."""
    with pytest.raises(InvalidRequest) as raised:
        load(given, USUAL)
    assert words in str(raised.value)


def test_total_size_is_limited(tmp_path: Path) -> None:
    """Attachments above the configured size are refused, and a huge file is not read to its end."""
    half = PNG + bytes(600_000)
    assert len(load([half], Attachments(max_mb=1))) == 1
    with pytest.raises(InvalidRequest, match=r"attachment 2 makes the attachments larger than 1 MB together"):
        load([half, half], Attachments(max_mb=1))
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(10**12)  # sparse: it uses no disk space
    with pytest.raises(InvalidRequest, match="larger than 1 MB"):
        load([huge], Attachments(max_mb=1))


class Connection:
    """A fake HTTPS connection with its answer."""

    status, body, length, failure = 200, PNG, None, None
    asked: list[str]

    def __init__(self, host: str, port: int, addresses: list[str], _: float) -> None:
        self.host, self.addresses = host, addresses

    def connect(self) -> None:
        type(self).asked.append(f"connect {','.join(self.addresses)}")
        if self.failure:
            raise self.failure

    def request(self, method: str, path: str, headers: dict[str, str]) -> None:
        type(self).asked.append(f"{method} {self.host}{path}")

    def getresponse(self) -> Connection:
        return self

    def read1(self, most: int) -> bytes:
        piece, self.body = self.body[:most], self.body[most:]
        return piece

    def close(self) -> None:
        pass


PUBLIC = "93.184.216.34"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Set the addresses of every name and the answer there; returns the list of requests."""

    def set_(*found: str, **given: Any) -> list[str]:
        kind = type("Set", (Connection,), given | {"asked": []})
        monkeypatch.setattr(addresses, "_Connection", kind)
        known = [(0, 0, 0, "", (address, 443)) for address in found or (PUBLIC,)]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: known)
        return kind.asked  # type: ignore[attr-defined, no-any-return]

    return set_


def test_address_is_fetched_if_allowed(web: Callable[..., list[str]]) -> None:
    """With ``attachments.urls`` the file is fetched once, up to the allowed size."""
    asked = web()
    (found,) = load(["https://example.org/a chart.png?x=1 2#here"], URLS)
    assert (found.data, asked) == (PNG, [f"connect {PUBLIC}", "GET example.org/a%20chart.png?x=1%202"])
    web(body=PNG + bytes(2_000_000))
    with pytest.raises(InvalidRequest, match="larger than 1 MB"):
        load(["https://example.org/"], Attachments(urls=True, max_mb=1))


OK = b"HTTP/1.1 200 OK\r\n"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Serve these bytes over TLS, the last of them again and again if ``endless``; returns the address."""
    certificate = self_signed(tmp_path / "host.pem")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)
    ours = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(ssl, "create_default_context", lambda: ours)
    monkeypatch.setattr(addresses, "_public_addresses", lambda *_: ["127.0.0.1"])
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(*pieces: bytes, endless: bool) -> None:
            with suppress(OSError), theirs.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.recv(65536)
                for piece in chain(pieces, repeat(pieces[-1]) if endless else ()):
                    connection.sendall(piece)
                connection.unwrap()

        def start(*pieces: bytes, endless: bool = False) -> str:
            thread = threading.Thread(target=serve, args=pieces, kwargs={"endless": endless})
            threads.append(thread)
            thread.start()
            return f"https://127.0.0.1:{listener.getsockname()[1]}/"

        yield start
        for thread in threads:
            thread.join()


def test_download_that_was_cut_off_is_refused(served: Callable[..., str]) -> None:
    """An image is whole, or it is none: the provider would get half of it."""
    head = OK + b"Content-Length: %d\r\n\r\n"
    (found,) = load([served(head % len(PNG) + PNG)], URLS)
    assert found.data == PNG
    with pytest.raises(InvalidRequest, match="attachment 1 cannot be fetched"):
        load([served(head % (len(PNG) + 1) + PNG)], URLS)


@pytest.mark.parametrize("pieces", [(GO_ON,), (OK + b"\r\n" + PNG,)], ids=["headers", "body"])
def test_slow_server_is_given_up(
    pieces: tuple[bytes, ...], served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole fetch has a time limit, even if each piece arrives in time."""
    clock = SimpleNamespace(monotonic=count().__next__)
    monkeypatch.setattr(addresses, "time", clock)
    with pytest.raises(InvalidRequest, match=r"attachment 1 cannot be fetched .* it takes longer than 60 s"):
        load([served(*pieces, endless=True)], URLS)


PRIVATE = [
    "127.0.0.1", "10.0.0.8", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "192.0.0.8", "192.88.99.1", "198.18.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1",
    "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::ffff:0:7f00:1", "::7f00:1", "::5db8:d822",
    "64:ff9b::7f00:1", "64:ff9b::5db8:d822", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:5db8:d822::1",
    "2001::1", "2001:db8::1", "3fff::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("private", PRIVATE)
def test_private_addresses_are_refused(private: str, web: Callable[..., list[str]]) -> None:
    """One private address of a name is enough, plain or inside another: no connection is opened."""
    for found in ((private,), (PUBLIC, private), (private, PUBLIC)):
        asked = web(*found)
        with pytest.raises(InvalidRequest, match="cannot be fetched"):
            load(["https://harmless.example/chart.png"], URLS)
        assert asked == []


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_accepted(address: str) -> None:
    """These IPv4 and IPv6 addresses are of the internet."""
    assert addresses.is_public(address)


def test_all_connection_failures_have_one_message(web: Callable[..., list[str]]) -> None:
    """Closed, silent, private and untrusted servers give one message: it reveals nothing of the network."""
    messages = set()
    for found, failure in [
        ("10.0.0.8", None),
        (PUBLIC, ConnectionRefusedError(111, "refused")),
        (PUBLIC, TimeoutError("timed out")),
        (PUBLIC, ssl.SSLCertVerificationError("self-signed certificate")),
        (PUBLIC, HTTPException("odd")),
    ]:
        web(found, failure=failure)
        with pytest.raises(InvalidRequest) as raised:
            load(["https://inside.example:8443/"], URLS)
        messages.add(str(raised.value))
    assert len(messages) == 1


def test_the_checked_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once, so a later answer of DNS has no effect. TLS still uses the name."""
    answers = iter([[(0, 0, 0, "", ("203.0.114.7", 443))], [(0, 0, 0, "", ("127.0.0.1", 443))]])
    reached: list[Any] = []

    def connect(address: tuple[str, int], timeout: float) -> Any:
        reached.append(address)
        return SimpleNamespace(close=lambda: None)

    def wrap(_: Any, sock: Any, server_hostname: str) -> Any:
        reached.append(server_hostname)
        raise ssl.SSLError("enough")

    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: next(answers))
    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    with pytest.raises(InvalidRequest, match="cannot be fetched"):
        load(["https://rebind.example:8443/chart.png"], URLS)
    assert reached == [("203.0.114.7", 8443), "rebind.example"]


@pytest.fixture
def odd_files(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """A FIFO, a socket, a device and a folder."""
    files = {
        "fifo": tmp_path / "fifo",
        "socket": tmp_path / "s",
        "device": Path("/dev/zero"),
        "folder": tmp_path,
    }
    os.mkfifo(files["fifo"])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(files["socket"]))
        yield files


def test_only_regular_files_are_opened(odd_files: dict[str, Path]) -> None:
    """Files that could block their reader or never end are refused."""
    for file in odd_files.values():
        with pytest.raises(InvalidRequest, match="cannot be read"):
            load([file], USUAL)


@pytest.mark.parametrize(
    ("address", "given", "words"),
    [
        ("http://example.org/", {}, "must be at an https:// address"),
        ("file:///etc/passwd", {}, "must be at an https:// address"),
        ("https://", {}, "must be at an https:// address"),
        ("https://example.org:port/", {}, "no valid address"),
        ("https://example.org/", {"status": 302}, "example.org answered 302"),
        ("https://example.org/", {"status": 404}, "answered 404"),
        ("https://example.org/", {"failure": TimeoutError("timed out")}, "cannot be fetched"),
        ("https://example.org/", {"failure": HTTPException("odd")}, "cannot be fetched"),
        ("https://example.org/", {"body": b"<html>"}, "neither a PNG"),
    ],
    ids=str,
)
def test_fetch_failure_names_the_attachment(
    address: str, given: dict[str, Any], words: str, web: Callable[..., list[str]]
) -> None:
    """No redirect is followed, and the error names the attachment and the reason."""
    web(**given)
    with pytest.raises(InvalidRequest, match="attachment 1") as raised:
        load([address], URLS)
    assert words in str(raised.value)
