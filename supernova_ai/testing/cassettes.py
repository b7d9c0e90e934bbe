"""Record the HTTP of a test once, replay it for ever after: vcrpy, made strict and kept clean of secrets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from supernova_ai.secret import HIDDEN, redact

# Named headers only, so that no key, cookie or fact about the machine is kept by oversight.
_REQUEST_HEADERS = {"content-type", "anthropic-version"}
_RESPONSE_HEADERS = {"content-type", "retry-after"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{256,}={0,2}")
_SECRET = re.compile(
    r"(x[-_]?)?(api|access|auth|account|subscription|private|secret|session|client)?[-_]?"
    r"(key|token|secret|sig|signature|password|passwd|pwd|credentials?|authorization|auth|jwt|cookie)"
    r"|(refresh|id|csrf|bearer|security)[-_]?token|x-(amz|goog)-(signature|credential|security-token)|bearer",
    re.IGNORECASE,
)
"""What a parameter or field with a secret in it is called, as a whole."""
_FIELD = re.compile(rb'("([\w\-]{1,40})\\*"\s*:\s*\\*")((?:[^"\\]|\\[^"])++)')
"""A text in JSON, and in JSON that is a text in it, as the arguments of a tool are."""
_KEY_LIKE = re.compile(rb"(?=\S*\d)\S{12,}")  # a "token" may be a word of an answer, a "key" a name

_MATCH = ("method", "scheme", "host", "port", "path", "query", "body")


class Server(Protocol):
    """What a test may talk to: a ``LocalModel``, a ``StubProvider``."""

    @property
    def url(self) -> str: ...
    def close(self) -> None: ...


class Cassette:
    """One test's recorded HTTP. Use the ``cassette`` fixture; while recording, requests are really sent.

    Args:
        path: the YAML file.
        recording: make it anew; otherwise only what it holds is answered, each interaction once.
    """

    def __init__(self, path: Path, *, recording: bool) -> None:
        self.path = path
        self.recording = recording
        self._exits = ExitStack()
        self._tape: Any = None

    def serve(self, start: Callable[[], Server]) -> str:
        """Return the address to talk to: of the server that ``start`` gives when recording, else a stand-in.

        The server is closed with the cassette. On the tape every loopback address is the same one, so
        ports may differ between recording and replaying.
        """
        if not self.recording:
            return "http://127.0.0.1:1"
        server = start()
        self._exits.callback(server.close)
        return server.url

    def check(self) -> None:
        """Fail the test if something on the tape was not asked for."""
        left = len(self._tape) - self._tape.play_count
        if not self.recording and left:
            pytest.fail(
                f"{left} of {len(self._tape)} interactions in {self.path} were not played. Either the code "
                f"no longer sends them, and the cassette must be recorded again, or it should."
            )

    def __enter__(self) -> Cassette:
        try:
            import vcr
        except ImportError:
            pytest.fail("the 'cassette' fixture needs vcrpy: pip install vcrpy", pytrace=False)
        if self.recording:
            self.path.unlink(missing_ok=True)
        elif not self.path.exists():
            pytest.fail(
                f"there is no cassette {self.path}: record it with `pytest --record-cassettes`", pytrace=False
            )
        player = vcr.VCR(
            record_mode=vcr.mode.ALL if self.recording else vcr.mode.NONE,
            match_on=_MATCH,
            before_record_request=_clean_request,
            before_record_response=_clean_response,
        )
        self._tape = self._exits.enter_context(player.use_cassette(str(self.path)))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()


def cassette_path(root: Path, module: str, test: str) -> Path:
    """Return ``cassettes/<module>/<test>.yaml`` under the root, brackets and the like made plain.

    >>> cassette_path(Path("/code"), "test_chat", "test_answer[openai-plain]").as_posix()
    '/code/cassettes/test_chat/test_answer-openai-plain.yaml'
    """
    return root / "cassettes" / module / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', test).strip('-')}.yaml"


def is_loopback(host: str) -> bool:
    """Say whether the host is this machine, by name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _clean_request(request: Any) -> Any:
    # The port of a loopback server changes with every run.
    parts = urlsplit(request.uri)
    if is_loopback(parts.hostname or ""):
        parts = parts._replace(netloc="loopback")
    parts = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=_without_secrets(parts.query))
    request.uri = redact(parts.geturl())
    form = "x-www-form-urlencoded" in str(request.headers.get("content-type", ""))
    request.headers = _only(request.headers, _REQUEST_HEADERS)
    request.body = _redacted(_without_bytes(request.body), form=form)
    return request


def _without_secrets(query: str) -> str:
    """Leave out the parameters that are called like a secret."""
    kept = [pair for pair in query.split("&") if not _SECRET.fullmatch(unquote(pair.partition("=")[0]))]
    return "&".join(kept)


def _clean_response(response: dict[str, Any]) -> dict[str, Any]:
    encodings = _only(response["headers"], {"content-encoding"}).get("content-encoding", ())
    body = _decoded(response["body"].get("string"), encodings)
    response["headers"] = _only(response["headers"], _RESPONSE_HEADERS)
    response["body"]["string"] = _redacted(body)
    return response


def _decoded(body: Any, encodings: Any) -> Any:
    """Return the body without its content encodings: no secret can be found in a compressed one.

    Raises:
        ValueError: it cannot be decoded, so it must not be kept.
    """
    encoding = ", ".join([encodings] if isinstance(encodings, str) else encodings)
    if not isinstance(body, bytes) or not encoding:
        return body
    try:
        decoded = httpx.Response(200, headers={"content-encoding": encoding}, content=body).content
    except httpx.DecodingError:
        decoded = body  # some clients decode before the recorder sees the answer
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"an answer with content-encoding {encoding!r} cannot be decoded, so it is not recorded: it may "
            f"hold a key. Install what decodes it (brotli, zstandard), or do not send that accept-encoding"
        ) from None
    return decoded


def _only(headers: Any, names: set[str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in names}


def _without_bytes(body: Any) -> Any:
    # Of what is attached a hash will do: the tape is to say whether it is the same, and not to show it.
    if not isinstance(body, bytes):
        return body
    return _BASE64.sub(lambda run: b"sha256:" + sha256(run[0]).hexdigest().encode(), body)


def _redacted(body: Any, *, form: bool = False) -> Any:
    # Providers repeat the key they refuse.
    if isinstance(body, str):
        return _redacted(body.encode(errors="surrogateescape"), form=form)
    if not isinstance(body, bytes):
        return body
    if form:
        body = _without_secrets(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    body = _FIELD.sub(_without_value, body)
    return redact(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _without_value(field: re.Match[bytes]) -> bytes:
    """Return a JSON field, without its value where it is called like a secret."""
    before, name, value = field.groups()
    ambiguous = name.lower() in (b"token", b"key")
    if _SECRET.fullmatch(name.decode()) and (not ambiguous or _KEY_LIKE.fullmatch(value)):
        return bytes(before + HIDDEN.encode())
    return field[0]
