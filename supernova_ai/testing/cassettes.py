"""Record the HTTP requests of a test once and replay them: vcrpy, made strict and without secrets."""

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

# Only these headers are kept, so no key, cookie or detail of the machine is recorded by accident.
_REQUEST_HEADERS = {"content-type", "anthropic-version"}
_RESPONSE_HEADERS = {"content-type", "retry-after"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{256,}={0,2}")
_SECRET = re.compile(
    r"(x[-_]?)?(api|access|auth|account|subscription|private|secret|session|client)?[-_]?"
    r"(key|token|secret|sig|signature|password|passwd|pwd|credentials?|authorization|auth|jwt|cookie)"
    r"|(refresh|id|csrf|bearer|security)[-_]?token|x-(amz|goog)-(signature|credential|security-token)|bearer",
    re.IGNORECASE,
)
"""Full names of parameters and fields that contain a secret."""
_FIELD = re.compile(rb'("([\w\-]{1,40})\\*"\s*:\s*\\*")((?:[^"\\]|\\[^"])++)')
"""A string field in JSON, or in JSON inside a string, as the arguments of a tool are."""
_KEY_LIKE = re.compile(rb"(?=\S*\d)\S{12,}")  # "token" may be a word of an answer, and "key" a name

_MATCH = ("method", "scheme", "host", "port", "path", "query", "body")


class Server(Protocol):
    """A server that a test can use, such as a ``LocalModel`` or a ``StubProvider``."""

    @property
    def url(self) -> str: ...
    def close(self) -> None: ...


class Cassette:
    """The recorded HTTP requests of one test. Use the ``cassette`` fixture.

    Args:
        path: the YAML file.
        recording: send the requests and replace the file; otherwise replay each interaction once.
    """

    def __init__(self, path: Path, *, recording: bool) -> None:
        self.path = path
        self.recording = recording
        self._exits = ExitStack()
        self._cassette: Any = None

    def serve(self, start: Callable[[], Server]) -> str:
        """Return the address of a server: of ``start`` while recording, a placeholder while replaying.

        The server is closed with the cassette. All loopback addresses are recorded as the same one, so ports
        may differ between recording and replaying.
        """
        if not self.recording:
            return "http://127.0.0.1:1"
        server = start()
        self._exits.callback(server.close)
        return server.url

    def check(self) -> None:
        """Fail the test if a recorded interaction was not requested."""
        left = len(self._cassette) - self._cassette.play_count
        if not self.recording and left:
            pytest.fail(
                f"{left} of {len(self._cassette)} interactions in {self.path} were not played. If the code "
                f"no longer sends these requests on purpose, record the cassette again."
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
        self._cassette = self._exits.enter_context(player.use_cassette(str(self.path)))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()


def cassette_path(root: Path, module: str, test: str) -> Path:
    """Return ``cassettes/<module>/<test>.yaml`` under the root, with special characters replaced.

    >>> cassette_path(Path("/code"), "test_chat", "test_answer[openai-plain]").as_posix()
    '/code/cassettes/test_chat/test_answer-openai-plain.yaml'
    """
    return root / "cassettes" / module / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', test).strip('-')}.yaml"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
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
    """Remove the parameters whose names say that they are secret."""
    kept = [pair for pair in query.split("&") if not _SECRET.fullmatch(unquote(pair.partition("=")[0]))]
    return "&".join(kept)


def _clean_response(response: dict[str, Any]) -> dict[str, Any]:
    encodings = _only(response["headers"], {"content-encoding"}).get("content-encoding", ())
    body = _decoded(response["body"].get("string"), encodings)
    response["headers"] = _only(response["headers"], _RESPONSE_HEADERS)
    response["body"]["string"] = _redacted(body)
    return response


def _decoded(body: Any, encodings: Any) -> Any:
    """Return the body without content encodings, because a compressed body cannot be searched for secrets.

    Raises:
        ValueError: it cannot be decoded, so it must not be recorded.
    """
    encoding = ", ".join([encodings] if isinstance(encodings, str) else encodings)
    if not isinstance(body, bytes) or not encoding:
        return body
    try:
        decoded = httpx.Response(200, headers={"content-encoding": encoding}, content=body).content
    except httpx.DecodingError:
        decoded = body  # some clients decode the answer before it is recorded
    try:
        decoded.decode()
    except UnicodeDecodeError:
        raise ValueError(
            f"an answer with content-encoding {encoding!r} cannot be decoded, so it is not recorded: it may "
            f"contain a key. Install its decoder (brotli, zstandard), or do not send that accept-encoding"
        ) from None
    return decoded


def _only(headers: Any, names: set[str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in headers.items() if name.lower() in names}


def _without_bytes(body: Any) -> Any:
    # A hash is enough to tell whether an attachment is the same.
    if not isinstance(body, bytes):
        return body
    return _BASE64.sub(lambda run: b"sha256:" + sha256(run[0]).hexdigest().encode(), body)


def _redacted(body: Any, *, form: bool = False) -> Any:
    # Providers repeat keys in error messages.
    if isinstance(body, str):
        return _redacted(body.encode(errors="surrogateescape"), form=form)
    if not isinstance(body, bytes):
        return body
    if form:
        body = _without_secrets(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    body = _FIELD.sub(_without_value, body)
    return redact(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _without_value(field: re.Match[bytes]) -> bytes:
    """Return a JSON field, without its value if its name says that it is secret."""
    before, name, value = field.groups()
    ambiguous = name.lower() in (b"token", b"key")
    if _SECRET.fullmatch(name.decode()) and (not ambiguous or _KEY_LIKE.fullmatch(value)):
        return bytes(before + HIDDEN.encode())
    return field[0]
