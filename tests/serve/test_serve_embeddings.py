"""Embeddings: OpenAI's form, as numbers and in base64, for the openai library and LangChain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from starlette.applications import Starlette
from starlette.testclient import TestClient

from supernova_ai import Supernova
from supernova_ai.serve import create_app
from supernova_ai.testing import StubProvider
from supernova_ai.testing.vector_dialects import vector_of
from tests import clients
from tests.serve.conftest import TOKEN, http_client
from tests.serve.test_serve_clients import needs

TEXTS = ["Profit rose.", "Margins fell."]
VECTORS = [pytest.approx(vector_of(text)) for text in TEXTS]


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub: StubProvider) -> Supernova:
    models = {"standard": "gpt-4o-mini", "embedding": "text-embedding-3-small"}
    return open_nova({"openai": {"url": stub.url, "models": models}})


@pytest.fixture
def http(nova: Supernova) -> TestClient:
    return http_client(nova)


def test_vectors_have_openai_s_form(http: TestClient, path: Path) -> None:
    """The vectors come in the order of the texts, with the usage, the cost and the id in the ledger."""
    headers = {"x-supernova-user": "ann", "x-supernova-team": "desks"}
    response = http.post("/v1/embeddings", json={"model": "default", "input": TEXTS}, headers=headers)
    body = response.json()
    (row,) = clients.attempts(path)
    assert [one["embedding"] for one in body["data"]] == VECTORS
    assert [one["index"] for one in body["data"]] == [0, 1]
    assert body["model"] == "openai/text-embedding-3-small"
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0
    assert (row.user, row.team, row.task) == ("ann", "desks", "embedding")
    assert response.headers["x-supernova-request-id"] == body["supernova"]["request_id"] == row.request


def test_the_openai_library_reads_them(serve: Callable[[Starlette], str], nova: Supernova) -> None:
    """The library asks for base64 by itself, and gives numbers; the model is in its list."""
    with OpenAI(base_url=serve(create_app(nova, token=TOKEN)), api_key=TOKEN) as openai:
        model = "openai/text-embedding-3-small"
        found = openai.embeddings.create(model=model, input=TEXTS, user="ann")
        assert [one.embedding for one in found.data] == VECTORS
        assert model in [one.id for one in openai.models.list()]
        with pytest.raises(BadRequestError) as refused:
            openai.embeddings.create(model=model, input=[[1, 2]])
        assert refused.value.param == "input"


def test_langchain_reads_them(serve: Callable[[Starlette], str], nova: Supernova) -> None:
    """LangChain's embeddings work, with the option that the page names."""
    needs("langchain_openai")
    from langchain_openai import OpenAIEmbeddings

    made = OpenAIEmbeddings(
        model="default",
        base_url=serve(create_app(nova, token=TOKEN)),
        api_key=TOKEN,
        check_embedding_ctx_length=False,
    )
    assert made.embed_documents(TEXTS) == VECTORS
    assert made.embed_query(TEXTS[0]) == VECTORS[0]


@pytest.mark.parametrize(
    ("fields", "status", "param", "message"),
    [
        ({"input": []}, 400, "input", "input must"),
        ({"input": None}, 400, "input", "is missing"),
        ({"input": [5]}, 400, "input", "Numbers of tokens are refused"),
        ({"model": 5}, 400, "model", "must be a text"),
        ({"model": "text-9"}, 404, "model", "is not configured"),
        ({"dimensions": "many"}, 400, "dimensions", "must be a whole number"),
        ({"encoding_format": "hex"}, 400, "encoding_format", "must be 'float' or 'base64'"),
        ({"temperature": 1}, 400, "temperature", "is not a field of embeddings"),
    ],
)
def test_a_wrong_field_is_named(
    http: TestClient, stub: StubProvider, fields: dict[str, Any], status: int, param: str, message: str
) -> None:
    """The error names the field; nothing is sent."""
    response = http.post("/v1/embeddings", json={"model": "default", "input": TEXTS} | fields)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert message in error["message"]
    assert stub.chats == []


def test_a_header_for_chats_is_refused(http: TestClient) -> None:
    """Vectors have no tier."""
    headers = {"x-supernova-tier": "premium"}
    response = http.post("/v1/embeddings", json={"model": "default", "input": TEXTS}, headers=headers)
    assert response.json()["error"]["message"] == "x-supernova-tier is for chats only: leave it out"
