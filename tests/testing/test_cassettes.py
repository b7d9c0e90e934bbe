"""Cassettes: what is recorded and replayed, and what is never recorded."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import litellm
import pytest
import vcr.errors
import zstandard
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

from supernova_ai.demo.local_model import LocalModel
from supernova_ai.secret import Secret
from supernova_ai.testing import Answer, Failure, Raw, StubProvider
from supernova_ai.testing.cassettes import Cassette, cassette_path

KEY = "sk-the-canary-in-the-cassette"
CHAT = "/v1/chat/completions"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test.yaml"


def answered(cassette: Cassette, reply: Any, *bodies: Any) -> list[str]:
    """Send bodies to a stub through a cassette; return the answers' texts."""
    url = cassette.serve(lambda: StubProvider(reply))
    return [httpx.post(url + CHAT, json=body).text for body in bodies]


DIALECTS = {
    "openai": ("openai/smollm2", "/v1"),
    "huggingface": ("huggingface/some/smollm2", ""),
    "anthropic": ("anthropic/smollm2", ""),
    "ollama": ("ollama_chat/some-model", ""),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("model", "base", "server"),
    [pytest.param(*dialect, StubProvider, id=name) for name, dialect in DIALECTS.items()]
    + [
        pytest.param(*DIALECTS[name], LocalModel, id=f"{name}-model", marks=pytest.mark.proof)
        for name in ("openai", "huggingface", "anthropic")
    ],
)
async def test_litellm_round_trip(
    model: str, base: str, server: Any, streamed: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM gets the same text and usage while recording and, without the server, while replaying."""
    monkeypatch.setattr(litellm.utils, "_get_max_position_embeddings", lambda model_name: None)
    litellm.register_model({"ollama_chat/some-model": {"litellm_provider": "ollama_chat", "mode": "chat"}})

    async def ask(cassette: Cassette) -> tuple[str, str, Any]:
        reply = await litellm.acompletion(
            model=model,
            api_base=cassette.serve(server) + base,
            api_key=KEY,
            messages=[{"role": "user", "content": "What is a bond?"}],
            max_tokens=8,
            stream=streamed,
            stream_options={"include_usage": True} if streamed else None,
        )
        if streamed:
            reply = litellm.stream_chunk_builder([chunk async for chunk in reply])
        usage = (reply.usage.prompt_tokens, reply.usage.completion_tokens)
        return reply.choices[0].message.content, reply.choices[0].finish_reason, usage

    with Cassette(path, recording=True) as cassette:
        recorded = await ask(cassette)
    with Cassette(path, recording=False) as cassette:
        replayed = await ask(cassette)
        cassette.check()
    assert replayed == recorded
    assert recorded[0]
    assert min(recorded[2]) > 0


def test_recording_again_replaces_the_cassette(path: Path) -> None:
    """Recording again replaces the content of the cassette."""
    for reply in ("old", "new"):
        with Cassette(path, recording=True) as cassette:
            answered(cassette, Raw(200, "text/plain", reply), {"n": 1})
    with Cassette(path, recording=False) as cassette:
        assert answered(cassette, None, {"n": 1}) == ["new"]


def test_each_interaction_is_played_once(path: Path) -> None:
    """Equal requests get their answers in the recorded order, and one more request is refused."""
    stub = StubProvider(script=[Raw(200, "text/plain", text) for text in ("one", "two")])
    with Cassette(path, recording=True) as cassette:
        url = cassette.serve(lambda: stub)
        for _ in range(2):
            httpx.post(url + CHAT, json={})
    with Cassette(path, recording=False) as cassette:
        assert answered(cassette, None, {}, {}) == ["one", "two"]
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            answered(cassette, None, {})


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", f"{CHAT}?a=1", {"n": 1}),
        ("POST", "/v1/messages?a=1", {"n": 1}),
        ("POST", f"{CHAT}?a=2", {"n": 1}),
        ("POST", f"{CHAT}?a=1", {"n": 2}),
    ],
    ids=["method", "path", "query", "body"],
)
def test_other_requests_are_refused(path: Path, method: str, target: str, body: Any) -> None:
    """A request that differs in more than the loopback port is not answered."""
    with Cassette(path, recording=True) as cassette:
        httpx.post(f"{cassette.serve(StubProvider)}{CHAT}?a=1", json={"n": 1})
    with Cassette(path, recording=False) as cassette:
        url = cassette.serve(StubProvider)
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            httpx.request(method, url + target, json=body)
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            httpx.post(f"http://provider.example{CHAT}?a=1", json={"n": 1})


def test_unplayed_interactions_fail(path: Path) -> None:
    """An interaction that is not requested fails the check, which names the cassette."""
    with Cassette(path, recording=True) as cassette:
        answered(cassette, "hello", {"n": 1}, {"n": 2})
        cassette.check()
    with Cassette(path, recording=False) as cassette:
        answered(cassette, "hello", {"n": 1})
        with pytest.raises(pytest.fail.Exception, match=r"1 of 2 interactions in .*test\.yaml"):
            cassette.check()


def test_secrets_are_not_recorded(path: Path) -> None:
    """No key of a header, a cookie, the query or an error message is recorded."""
    secret = Secret("not shaped like any key")
    echo = Failure(401, f"wrong key: {secret.reveal()} or {KEY}", {"set-cookie": f"session={KEY}"})
    headers = dict.fromkeys(("authorization", "x-api-key", "x-goog-api-key", "cookie", "x-new-header"), KEY)
    with Cassette(path, recording=True) as cassette:
        url = cassette.serve(lambda: StubProvider(echo))
        httpx.post(f"{url}{CHAT}?key={KEY}&alt=sse", json={}, headers=headers)
    text = path.read_text()
    assert KEY not in text
    assert secret.reveal() not in text
    assert "wrong key: [redacted] or [redacted]" in text
    assert "alt=sse" in text


@contextmanager
def serve_bytes(body: bytes, encoding: str) -> Iterator[str]:
    """Answer every request with these bytes and this content encoding."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-encoding", encoding)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


ECHO = f"wrong key: {KEY}".encode()
ENCODED = {
    "gzip": gzip.compress(ECHO),
    "deflate": zlib.compress(ECHO),
    "zstd": zstandard.compress(ECHO),
    "deflate, gzip": gzip.compress(zlib.compress(ECHO)),
    "identity": ECHO,
}


def fetch(client: str, url: str) -> str:
    """Send a GET request with one of the two clients that LiteLLM uses."""

    async def get() -> str:
        transport = None if client == "httpx" else AsyncHTTPHandler.create_aiohttp_transport()
        async with httpx.AsyncClient(transport=transport) as asked:
            return (await asked.get(url)).text

    return asyncio.run(get())


@pytest.mark.parametrize("client", ["httpx", "aiohttp"])
@pytest.mark.parametrize("encoding", ENCODED)
def test_compressed_answers_are_recorded_uncompressed(path: Path, encoding: str, client: str) -> None:
    """A key in a compressed answer is redacted, and the answer is replayed as readable text."""
    with serve_bytes(ENCODED[encoding], encoding) as url:
        with Cassette(path, recording=True):
            assert fetch(client, url) == ECHO.decode()
        with Cassette(path, recording=False):
            assert fetch(client, url) == "wrong key: [redacted]"
    assert KEY not in path.read_text()
    assert "wrong key: [redacted]" in path.read_text()


def test_an_answer_that_cannot_be_decoded_is_not_recorded(path: Path) -> None:
    """Bytes in an unknown content encoding may contain a key, so the recording fails and says so."""
    with (
        serve_bytes(gzip.compress(ECHO), "x-unknown") as url,
        Cassette(path, recording=True),
        pytest.raises(ValueError, match="'x-unknown' cannot be decoded"),
    ):
        fetch("httpx", url)
    assert not path.exists()


FOREIGN = {
    "openai": "sk-proj-Zb3kT9wQx7LmN2pR",
    "amazon": "AKIAIOSFODNN7EXAMPLE",
    "slack": "xoxb-1234567890-abcdefghij",
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "google": "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN",
    "shapeless": "Hq7Zp2Vn9Xc4",
}
NAMES = (
    "key",
    "api_key",
    "apiKey",
    "X-API-Key",
    "token",
    "access_token",
    "sig",
    "signature",
    "client_secret",
    "password",
)


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_keys_of_other_services_are_not_recorded(path: Path, foreign: str) -> None:
    """No parameter, form field or JSON field with the name of a secret is recorded."""
    fields = dict.fromkeys(NAMES, foreign)
    echo = json.dumps(
        {
            "error": {
                **fields,
                "arguments": json.dumps(fields),
                "message": "none",
                "code": "invalid_api_key",
            },
            "logprobs": [{"token": " a"}, {"token": "diversification"}],
        }
    )

    def send(cassette: Cassette) -> None:
        url = cassette.serve(
            lambda: StubProvider(Raw(401, "application/json", echo, {"set-cookie": f"a={foreign}"}))
        )
        headers = {"cookie": f"session={foreign}", "authorization": f"Bearer {foreign}"}
        httpx.post(url + CHAT, params=fields | {"n": "1"}, json=fields | {"max_tokens": 8}, headers=headers)
        httpx.post(url + CHAT, data=fields | {"n": "2"}, headers=headers)

    with Cassette(path, recording=True) as cassette:
        send(cassette)
    text = path.read_text()
    assert foreign not in text
    for kept in ("n=1", "n=2", "max_tokens", "none", "invalid_api_key", "diversification"):
        assert kept in text
    with Cassette(path, recording=False) as cassette:
        send(cassette)
        cassette.check()


@pytest.mark.parametrize("form", ["hex", "reversed", "base64", "upper", "cut"])
def test_keys_are_redacted_in_every_encoding(path: Path, form: str) -> None:
    """A key in use that a provider repeats in another encoding is redacted too."""
    secret = Secret("Qm7x-not-shaped-like-a-key")
    text = secret.reveal()
    echo = {
        "hex": text.encode().hex(),
        "reversed": text[::-1],
        "base64": b64encode(text.encode()).decode(),
        "upper": text.upper(),
        "cut": text[3:-3],
    }[form]
    with Cassette(path, recording=True) as cassette:
        answered(cassette, Failure(401, f"wrong: {echo}"), {})
    assert "wrong: [redacted]" in path.read_text()


def test_only_needed_headers_are_recorded(path: Path) -> None:
    """Only the headers that are needed to read an answer are recorded."""
    busy = Failure(429, headers={"retry-after": "3", "x-request-id": "abc"})
    with Cassette(path, recording=True) as cassette:
        answered(cassette, busy, {})
    text = path.read_text()
    assert "retry-after" in text
    assert "content-type" in text
    assert not any(name in text for name in ("x-request-id", "user-agent", "content-length"))


def test_missing_cassette_says_how_to_record(path: Path) -> None:
    """Without a cassette the test fails with the command that records one."""
    with pytest.raises(pytest.fail.Exception, match="pytest --record-cassettes"):
        Cassette(path, recording=False).__enter__()


def test_non_ascii_text_is_replayed(path: Path) -> None:
    """Text outside ASCII is replayed as recorded."""
    with Cassette(path, recording=True) as cassette:
        recorded = answered(cassette, Answer("Zürich, 東京: 5 €"), {"model": "é"})
    with Cassette(path, recording=False) as cassette:
        assert answered(cassette, None, {"model": "é"}) == recorded


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_a", "test_a"),
        ("test_a[openai-plain]", "test_a-openai-plain"),
        ("TestB::test_c[x/y z]", "TestB-test_c-x-y-z"),
    ],
)
def test_paths(test: str, name: str) -> None:
    """A cassette is at cassettes/<module>/<test>.yaml, in characters that every file system allows."""
    assert cassette_path(Path("/r"), "test_m", test) == Path("/r/cassettes/test_m", f"{name}.yaml")


def test_an_attachment_is_recorded_as_its_hash(path: Path) -> None:
    """The bytes of an attachment are not recorded, and another attachment is another request."""
    images = [{"url": "data:image/png;base64," + letter * 400 + "=="} for letter in "ab"]
    with Cassette(path, recording=True) as cassette:
        answered(cassette, "Hi.", images[0])
    assert "a" * 64 not in path.read_text()
    assert "sha256:" in path.read_text()
    with Cassette(path, recording=False) as cassette:
        answered(cassette, "", images[0])
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            answered(cassette, "", images[1])
