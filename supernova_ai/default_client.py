"""The default client, and the functions of the package that use it: ``chat``, ``stream``, ``analyze`` …"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal, Unpack

from supernova_ai.client import Supernova
from supernova_ai.requests.options import (
    AnalyzeOptions,
    ChatOptions,
    EmbedOptions,
    StreamOptions,
    TextOptions,
)
from supernova_ai.requests.structured import ResponseModel
from supernova_ai.streams import Stream
from supernova_ai.types import Embeddings, Ranking, Reply, T

_default: Supernova | None = None
_default_lock = threading.Lock()


def default(*, preload: bool = True) -> Supernova:
    """Return the default client of the module-level functions; the first use creates it.

    Args:
        preload: as of ``Supernova``, if this creates it.
    """
    global _default
    with _default_lock:
        if _default is None:
            _default = Supernova(preload=preload)
        return _default


async def chat(
    message: str | None = None,
    *,
    response_model: ResponseModel[T] | None = None,
    **options: Unpack[ChatOptions],
) -> Reply[T]:
    """Answer a message with the default client; see ``Supernova.chat``."""
    return await default().chat(message, response_model=response_model, **options)


async def run_tools(
    message: str | None = None,
    *,
    max_rounds: int = 8,
    response_model: ResponseModel[T] | None = None,
    **options: Unpack[StreamOptions],
) -> Reply[T]:
    """Answer a message with the help of functions with the default client; see ``Supernova.run_tools``."""
    return await default().run_tools(message, max_rounds=max_rounds, response_model=response_model, **options)


async def analyze(
    content: str, *, response_model: ResponseModel[T] | None = None, **options: Unpack[AnalyzeOptions]
) -> Reply[T]:
    """Analyse a text with the default client; see ``Supernova.analyze``."""
    return await default().analyze(content, response_model=response_model, **options)


async def embed(texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
    """Return a vector for each text with the default client; see ``Supernova.embed``."""
    return await default().embed(texts, **options)


async def rerank(
    query: str, documents: Sequence[str], top_n: int | None = None, **options: Unpack[TextOptions]
) -> Ranking:
    """Return documents by their relevance with the default client; see ``Supernova.rerank``."""
    return await default().rerank(query, documents, top_n, **options)


async def feedback(request_id: str, score: float | Literal["up", "down"], comment: str | None = None) -> None:
    """Keep what a user thinks of an answer of the default client; see ``Supernova.feedback``."""
    await default().feedback(request_id, score, comment)


def stream(
    message: str | None = None,
    *,
    response_model: ResponseModel[T] | None = None,
    **options: Unpack[StreamOptions],
) -> Stream[T]:
    """Stream an answer with the default client; see ``Supernova.stream``."""
    return default().stream(message, response_model=response_model, **options)
