"""Azure, Bedrock and Vertex AI: what is sent, with which signature or token, to servers on loopback."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import litellm
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from supernova_ai import AuthenticationFailed, ProviderUnavailable, Supernova
from supernova_ai.keys.formats import with_fields
from supernova_ai.litellm_adapter.listeners import LISTENERS
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from tests import clients
from tests.litellm_adapter.test_listeners import Spy, texts
from tests.litellm_adapter.test_network import ANSWER
from tests.servers import Sent, Server
from tests.waiting import until

Open = Callable[..., Supernova]
Rows = Callable[[], list[AttemptRow]]
Answer = tuple[int, Mapping[str, str], bytes]

each_way = pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
JSON = {"content-type": "application/json"}
AWS = {
    "aws_access_key_id": "AKIAEXAMPLE123456789",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY",
    "aws_session_token": "IQoJb3JpZ2luX2VjEXAMPLE0123456789abcdef",
}
PRIVATE = rsa.generate_private_key(65537, 2048)
GOOGLE = {
    "client_email": "nova@example-project.iam.gserviceaccount.com",
    "private_key": PRIVATE.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode(),
    "private_key_id": "0123456789abcdef",
}
HAIKU = "eu.anthropic.claude-haiku-5-5"
FLASH = "gemini-3.5-flash"


def put(path: Path, provider: str, key: Secret) -> None:
    with Store(path) as store:
        clients.vault_of(store).add(provider, "primary", key)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """A callback that a program registered with LiteLLM, which notes all that it is given."""
    listening = Spy()
    for name in (*LISTENERS, "input_callback"):
        monkeypatch.setattr(litellm, name, [])
    litellm.callbacks.append(listening)
    return listening


def heard_no_secret(spy: Spy, secrets: Mapping[str, str]) -> bool:
    heard = "\n".join(texts(spy.heard, set()))
    assert "placeholder-" in heard
    return not any(part in heard for secret in secrets.values() for part in secret.split("\n") if part)


def event(kind: str, content: Mapping[str, Any]) -> bytes:
    """Return a message of AWS's event stream: lengths, headers, content, and checksums of both."""
    pairs = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in pairs.items()
    )
    body = json.dumps(content).encode()
    lengths = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = lengths + struct.pack(">I", binascii.crc32(lengths)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


USED = {"usage": {"inputTokens": 1000, "outputTokens": 500, "totalTokens": 1500}, "metrics": {"latencyMs": 1}}


def converse(sent: Sent) -> Answer:
    """Answer as Bedrock's Converse API does."""
    if sent.path.endswith("-stream"):
        events = [
            event("messageStart", {"role": "assistant"}),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Diversify."}}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", USED),
        ]
        return 200, {"content-type": "application/vnd.amazon.eventstream"}, b"".join(events)
    said = {"message": {"role": "assistant", "content": [{"text": "Diversify."}]}}
    return 200, JSON, json.dumps({"output": said, "stopReason": "end_turn", **USED}).encode()


def signature(sent: Sent, secret: str, region: str) -> str:
    """Compute the signature (version 4) of a request by Amazon's documentation."""
    names = sent.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    headers = "".join(f"{name}:{sent.headers[name]}\n" for name in names.split(";"))
    path = sent.path.replace("%", "%25")  # the path is escaped once more
    request = "\n".join(("POST", path, "", headers, names, hashlib.sha256(sent.body).hexdigest()))
    day, scope = sent.headers["x-amz-date"][:8], [region, "bedrock", "aws4_request"]
    key = f"AWS4{secret}".encode()
    for part in (day, *scope):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", sent.headers["x-amz-date"], "/".join((day, *scope)), digest))
    return hmac.digest(key, text.encode(), "sha256").hex()


@pytest.mark.parametrize("name", ["bedrock", "aws-frankfurt"])
@each_way
async def test_bedrock_is_signed_with_the_fields_of_its_key(
    name: str, streaming: bool, open_nova: Open, path: Path, attempts: Rows, spy: Spy
) -> None:
    """The request has AWS's signature for the configured region; callbacks get none of the secrets."""
    with Server(converse) as server:
        settings = {"url": server.url, "type": "bedrock", "region": "eu-central-1", "keys": ["primary"]}
        nova = open_nova({name: settings | {"models": {"standard": HAIKU}}})
        put(path, name, with_fields("bedrock", AWS))
        reply = await nova.chat("What now?", streaming=streaming)
        await until(lambda: any("success" in name for name, _ in spy.heard))
    assert reply.content == "Diversify."
    (sent,), (row,) = server.sent, attempts()
    assert sent.path == f"/model/{HAIKU}/converse{'-stream' if streaming else ''}"
    assert f"Credential={AWS['aws_access_key_id']}/" in sent.headers["authorization"]
    assert "/eu-central-1/bedrock/aws4_request" in sent.headers["authorization"]
    expected = signature(sent, AWS["aws_secret_access_key"], "eu-central-1")
    assert sent.headers["authorization"].endswith(f"Signature={expected}")
    assert sent.headers["x-amz-security-token"] == AWS["aws_session_token"]
    assert (row.provider, row.state, row.basis) == (name, "settled", "exact")
    assert row.cost > 0
    assert heard_no_secret(spy, AWS)


async def test_bedrock_takes_a_plain_key_too(open_nova: Open, path: Path) -> None:
    """A key of Amazon Bedrock is sent as it is."""
    with Server(converse) as server:
        settings = {"url": server.url, "region": "eu-central-1", "keys": ["primary"]}
        await open_nova({"bedrock": settings | {"models": {"standard": HAIKU}}}).chat("What now?")
    assert server.sent[0].headers["authorization"] == f"Bearer {clients.key_of('bedrock')}"


async def test_a_variable_does_not_move_bedrock(open_nova: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM would prefer ``AWS_BEDROCK_RUNTIME_ENDPOINT`` to ``api_base``."""
    monkeypatch.setenv("AWS_BEDROCK_RUNTIME_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "of-the-environment")
    with Server(converse) as server:
        settings = {"url": server.url, "region": "eu-central-1", "keys": ["primary"]}
        await open_nova({"bedrock": settings | {"models": {"standard": HAIKU}}}).chat("What now?")
    assert "of-the-environment" not in str(server.sent)


def generate(sent: Sent) -> Answer:
    """Answer as Gemini does."""
    content = {"role": "model", "parts": [{"text": "Diversify."}]}
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 500, "totalTokenCount": 1500}
    said = {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}
    text = json.dumps(said)
    if "stream" in sent.path:
        return 200, {"content-type": "text/event-stream"}, f"data: {text}\n\n".encode()
    return 200, JSON, text.encode()


def claims(token: str) -> dict[str, Any]:
    """Return what a token says, whose signature is right."""
    text, _, signed = token.rpartition(".")
    PRIVATE.public_key().verify(decoded(signed), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    head, body = (json.loads(decoded(part)) for part in text.split("."))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": GOOGLE["private_key_id"]}
    found: dict[str, Any] = body
    return found


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@each_way
async def test_vertex_gets_a_token_that_the_service_account_signed(
    streaming: bool, open_nova: Open, path: Path, attempts: Rows, spy: Spy
) -> None:
    """The token names the account and lasts an hour; callbacks get none of the secrets."""
    with Server(generate) as server:
        settings = {"url": server.url, "region": "global", "project": "example-project", "keys": ["primary"]}
        nova = open_nova({"vertex_ai": settings | {"models": {"standard": FLASH}}})
        put(path, "vertex_ai", with_fields("vertex_ai", GOOGLE))
        reply = await nova.chat("What now?", streaming=streaming)
        await until(lambda: any("success" in name for name, _ in spy.heard))
    assert reply.content == "Diversify."
    (sent,), (row,) = server.sent, attempts()
    assert "/projects/example-project/locations/global/publishers/google/models/" in sent.path
    told = claims(sent.headers["authorization"].removeprefix("Bearer "))
    assert told["iss"] == told["sub"] == GOOGLE["client_email"]
    assert told["exp"] - told["iat"] == 3600
    assert told["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert (row.state, row.basis) == ("settled", "exact")
    assert heard_no_secret(spy, {"private_key": GOOGLE["private_key"]})


@each_way
async def test_azure(
    streaming: bool, open_nova: Open, attempts: Rows, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path names the deployment, the query the version; the key goes in its header, whatever is set."""
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "of-the-environment")
    monkeypatch.setenv("AZURE_API_VERSION", "1999-01-01")
    monkeypatch.setenv("OPENAI_API_VERSION", "1999-01-01")
    with Server(completed) as server:
        settings = {"url": server.url, "type": "azure", "api_version": "2026-06-01", "keys": ["primary"]}
        nova = open_nova({"azure-eu": settings | {"models": {"standard": "gpt-4o-mini"}}})
        reply = await nova.chat("What now?", streaming=streaming)
        await until(lambda: any("success" in name for name, _ in spy.heard))
    assert reply.content == "Hi"
    (sent,), (row,) = server.sent, attempts()
    assert sent.path == "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2026-06-01"
    assert sent.headers["api-key"] == clients.key_of("azure-eu")
    assert "authorization" not in sent.headers
    assert (row.provider, row.state) == ("azure-eu", "settled")
    assert row.cost > 0
    assert heard_no_secret(spy, {"key": clients.key_of("azure-eu")})


def completed(sent: Sent) -> Answer:
    """Answer as OpenAI does."""
    if not json.loads(sent.body).get("stream"):
        return 200, JSON, json.dumps(ANSWER).encode()
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    chunk = {**ANSWER, "object": "chat.completion.chunk", "choices": [choice]}
    return (
        200,
        {"content-type": "text/event-stream"},
        f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(),
    )


async def test_a_refused_signature_is_a_refused_key(open_nova: Open, path: Path) -> None:
    """Bedrock's 403 is ``AuthenticationFailed``, without a secret in the message."""
    refusal = {
        "message": f"The security token {AWS['aws_session_token']} included in the request is invalid."
    }
    with Server(lambda _: (403, JSON, json.dumps(refusal).encode())) as server:
        settings = {"url": server.url, "region": "eu-central-1", "keys": ["primary"]}
        nova = open_nova({"bedrock": settings | {"models": {"standard": HAIKU}}})
        put(path, "bedrock", with_fields("bedrock", AWS))
        with pytest.raises(AuthenticationFailed) as raised:
            await nova.chat("What now?")
    assert "IQoJb3JpZ2lu" not in str(raised.value)


ONCE: dict[str, dict[str, Any]] = {
    "azure": {"models": {"standard": "gpt-4o-mini"}},
    "bedrock": {"region": "eu-central-1", "models": {"standard": HAIKU}},
    "vertex_ai": {"region": "global", "project": "p", "models": {"standard": FLASH}},
}


@pytest.mark.parametrize("provider", ONCE)
@each_way
async def test_is_sent_once(provider: str, streaming: bool, open_nova: Open) -> None:
    """A broken connection is not retried by an HTTP client, which the ledger would not see."""

    def hang_up(_: Sent) -> Answer:
        raise ConnectionAbortedError

    with Server(hang_up) as server:
        nova = open_nova({provider: {"url": server.url, "keys": ["primary"], **ONCE[provider]}})
        with pytest.raises(ProviderUnavailable):
            await nova.chat("What now?", streaming=streaming)
    assert len(server.sent) == 1


async def test_embeddings_of_bedrock_are_signed(
    open_nova: Open, path: Path, attempts: Rows, spy: Spy
) -> None:
    """A vector is asked for with AWS's signature, and callbacks get none of the secrets."""
    answer = {"embedding": [0.5, 1.0], "inputTextTokenCount": 3}
    with Server(lambda _: (200, JSON, json.dumps(answer).encode())) as server:
        settings = {"url": server.url, "region": "eu-central-1", "keys": ["primary"]}
        models = {"models": {"embedding": "amazon.titan-embed-text-v2:0"}}
        nova = open_nova({"bedrock": settings | models})
        put(path, "bedrock", with_fields("bedrock", AWS))
        found = await nova.embed("Profit rose.")
        await until(lambda: any("success" in name for name, _ in spy.heard))
    assert (found.vectors, found.usage.prompt) == (((0.5, 1.0),), 3)
    expected = signature(server.sent[0], AWS["aws_secret_access_key"], "eu-central-1")
    assert server.sent[0].headers["authorization"].endswith(f"Signature={expected}")
    assert heard_no_secret(spy, AWS)
    assert attempts()[0].basis == "exact"


async def test_embeddings_of_azure_are_asked_once(open_nova: Open, attempts: Rows) -> None:
    """The key is in Azure's header, and a refusal is not repeated by OpenAI's client."""
    data = [{"index": 0, "embedding": [0.5, 1.0]}]
    answer = {
        "data": data,
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    answers = [(429, JSON, b"{}"), (200, JSON, json.dumps(answer).encode())]
    with Server(lambda _: answers.pop(0)) as server:
        settings = {"url": server.url, "api_version": "2024-10-21", "keys": ["primary", "backup"]}
        nova = open_nova({"azure": settings | {"models": {"embedding": "text-embedding-3-small"}}})
        found = await nova.embed("Profit rose.")
    assert (found.vectors, found.usage.prompt) == (((0.5, 1.0),), 3)
    keys = [clients.key_of("azure", slot) for slot in ("primary", "backup")]
    assert [sent.headers["api-key"] for sent in server.sent] == keys
    assert [row.state for row in attempts()] == ["released", "settled"]
