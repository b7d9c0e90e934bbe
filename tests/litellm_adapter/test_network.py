"""What a server may do to the client on the wire: redirect it, or answer with a bomb."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supernova_ai import ProviderUnavailable, Supernova
from supernova_ai.store.tables import AttemptRow
from tests import clients
from tests.servers import Server

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]

# Of the last two LiteLLM makes the client.
DIALECTS = [*clients.PROVIDERS, "gemini", "groq", "cerebras", "perplexity"]
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])


def provider(name: str, url: str) -> dict[str, Any]:
    """Return a provider's entry for ``clients.configure``, for any provider."""
    if name in clients.PROVIDERS:
        return {name: url}
    prices = {"some-model": {"input": "1", "output": "1"}}
    suffix = "" if name == "gemini" else "/v1"
    models = {"standard": "some-model"}
    return {name: {"url": url + suffix, "models": models, "prices": prices, "keys": ["primary"]}}


@pytest.fixture
def stranger() -> Iterator[Server]:
    """A server that is not configured and would answer."""
    with Server(lambda _: (200, {"content-type": "application/json"}, json.dumps(ANSWER).encode())) as server:
        yield server


@pytest.mark.parametrize("name", DIALECTS)
@each_way
async def test_no_redirect_is_followed(
    name: str, streaming: bool, open_nova: Open, stranger: Server, attempts: Rows
) -> None:
    """A 3xx sends neither key nor prompt elsewhere; the failure names the address and costs nothing."""
    to = stranger.url.replace("127.0.0.1", "localhost")
    location = to.replace("://", "://user:word@") + "/v1?token=secret"
    statuses = [301, 302, 303, 307, 308]
    answers = iter(statuses)
    with Server(lambda _: (next(answers), {"location": location}, b"Incorrect API key provided")) as first:
        nova = open_nova(provider(name, first.url), routing={"breaker": {"failures": 1000}})
        for status in statuses:
            with pytest.raises(ProviderUnavailable) as raised:
                await nova.chat("What now?", streaming=streaming)
            assert f"redirects to {to} (HTTP {status})" in str(raised.value)
            assert "secret" not in str(raised.value)
            assert "word" not in str(raised.value)
    assert len(first.sent) == len(statuses)
    assert stranger.sent == []
    assert {row.state for row in attempts()} == {"released"}


@pytest.mark.parametrize("name", clients.PROVIDERS)
async def test_probe_reports_a_redirect(name: str, open_nova: Open, stranger: Server) -> None:
    """A probe that is redirected fails, and names the address."""
    with Server(lambda sent: (307, {"location": stranger.url + sent.path}, b"")) as first:
        (probe,) = await open_nova(provider(name, first.url)).probe()
    assert probe.result == "ProviderUnavailable"
    assert f"redirects to {stranger.url} (HTTP 307)" in str(probe.reason)
    assert stranger.sent == []


def bomb() -> bytes:
    """Return 64 MiB of a JSON text, compressed to 64 KB."""
    return gzip.compress(b'{"choices": "' + bytes(64 * 2**20))


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("openai", 200, "application/json"),
        ("openai", 500, "application/json"),
        ("anthropic", 200, "text/event-stream"),
        ("perplexity", 200, "text/event-stream"),
    ],
)
async def test_compressed_answer_is_limited_by_its_decompressed_size(
    name: str, status: int, kind: str, open_nova: Open, attempts: Rows
) -> None:
    """Reading 64 KB that decompress to 64 MiB stops at the limit, and never has all of it in memory."""
    headers, packed = {"content-type": kind, "content-encoding": "gzip"}, bomb()
    with Server(lambda _: (status, headers, packed)) as server:
        nova = open_nova(provider(name, server.url))
        with pytest.raises(ProviderUnavailable):  # LiteLLM and what it imports are in the memory now
            await nova.chat("What now?", streaming=kind == "text/event-stream")
        tracemalloc.start()
        try:
            with pytest.raises(ProviderUnavailable):
                await nova.chat("What now?", streaming=kind == "text/event-stream")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 40 * 2**20
    assert len(attempts()) == 2


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_answer_is_read(encoding: str, compress: Any, open_nova: Open) -> None:
    """Requests accept gzip, and a server may compress its answers."""
    packed = compress(json.dumps(ANSWER).encode())
    headers = {"content-type": "application/json", "content-encoding": encoding}
    with Server(lambda _: (200, headers, packed)) as server:
        reply = await open_nova({"openai": server.url}).chat("What now?")
    assert reply.content == "Hi"
    assert server.sent[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["", "none", "utf-8", "identity"])
async def test_answer_with_a_wrong_content_encoding_is_read(encoding: str, open_nova: Open) -> None:
    """Some servers name a charset as the encoding; the paid answer is still read."""
    headers = {"content-type": "application/json", "content-encoding": encoding}
    with Server(lambda _: (200, headers, json.dumps(ANSWER).encode())) as server:
        assert (await open_nova({"openai": server.url}).chat("What now?")).content == "Hi"


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [("br", b"x", "compressed as 'br', and only gzip was asked for"), ("gzip", b"no gzip", "damaged")],
)
async def test_answer_that_cannot_be_decompressed_is_a_failure(
    encoding: str, body: bytes, words: str, open_nova: Open
) -> None:
    """It is the provider's failure, and the error says why."""
    headers = {"content-type": "application/json", "content-encoding": encoding}
    with Server(lambda _: (200, headers, body)) as server, pytest.raises(ProviderUnavailable) as raised:
        await open_nova({"anthropic": server.url}).chat("What now?")
    assert words in str(raised.value)


async def test_probe_limits_what_it_reads(open_nova: Open) -> None:
    """A probe's answer has the same limit as any other."""
    headers, packed = {"content-encoding": "gzip"}, bomb()
    with Server(lambda _: (200, headers, packed)) as server:
        tracemalloc.start()
        try:
            (probe,) = await open_nova({"openai": server.url}).probe()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert probe.result == "ProviderUnavailable"
    assert peak < 80 * 2**20
