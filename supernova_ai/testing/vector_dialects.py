"""How OpenAI's API formats embeddings, which Ollama's has too, and Cohere's API a ranking."""

# ruff: noqa: ARG002 - all dialects have the same methods, which do not need every argument

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from supernova_ai.testing.answers import Body, Completion
from supernova_ai.testing.dialects import Dialect, OpenAI
from supernova_ai.testing.error_bodies import DEFAULT_MESSAGE

DIMENSIONS = 8
"""Dimensions of the stub's vectors, if the request does not say."""


def vector_of(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return the stub's vector of a text: always the same, and another one for another text."""
    digest = hashlib.shake_256(text.encode()).digest(dimensions)
    return [(byte - 127.5) / 128 for byte in digest]


def relevance_of(query: str, document: str) -> float:
    """Return the stub's score of a document: the part of the query's words that it has.

    >>> relevance_of("profit of Acme", "Acme made a profit.")
    0.3333333333333333
    """
    words = query.lower().split()
    return sum(word in document.lower().split() for word in words) / len(words)


class OpenAIEmbeddings(OpenAI):
    """OpenAI's Embeddings, as lists of numbers."""

    def streamed(self, request: Body) -> bool:
        return False

    def plain(self, completion: Completion, request: Body) -> Body:
        texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
        vectors = (vector_of(text, request.get("dimensions", DIMENSIONS)) for text in texts)
        data = [
            {"object": "embedding", "index": place, "embedding": vector}
            for place, vector in enumerate(vectors)
        ]
        answer: dict[str, Any] = {"object": "list", "data": data, "model": completion.model}
        if completion.usage is None:
            return answer
        tokens = completion.usage.prompt
        return answer | {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


class CohereRerank(OpenAI):
    """Cohere's Rerank, which counts search units of 100 documents."""

    def streamed(self, request: Body) -> bool:
        return False

    def plain(self, completion: Completion, request: Body) -> Body:
        query, documents = request["query"], request["documents"]
        results = [
            {"index": place, "relevance_score": relevance_of(query, document)}
            for place, document in enumerate(documents)
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        answer: dict[str, Any] = {
            "id": "rerank-stub",
            "results": results[: request.get("top_n", len(results))],
            "meta": {"api_version": {"version": "2"}},
        }
        if completion.usage is not None:
            answer["meta"]["billed_units"] = {"search_units": -(-len(documents) // 100)}
        return answer

    def error(self, status: int, message: str | None) -> Body:
        return {"id": "error-stub", "message": message or DEFAULT_MESSAGE}


VECTOR_DIALECTS: Mapping[str, Dialect] = {
    "/v1/embeddings": OpenAIEmbeddings(),
    "/v2/rerank": CohereRerank(),
}
"""The dialect of each path."""
