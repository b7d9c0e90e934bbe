"""The arguments of ``embed`` and ``rerank``: each is checked, and together they become one frozen request."""

from __future__ import annotations

from collections.abc import Sequence

from supernova_ai.characters import quoted
from supernova_ai.config import Routing
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests import arguments, messages, parameters
from supernova_ai.requests.options import EmbedOptions, TextOptions
from supernova_ai.types import EMBEDDING, RERANK, ModelGroup, Request

MAX_TEXTS = 2048
"""Texts of one call to ``embed``."""

MAX_DOCUMENTS = 1000
"""Documents of one call to ``rerank``: most providers accept no more."""

MAX_DIMENSIONS = 100_000
"""More dimensions than the vectors of any model have."""


def embedding_request(routing: Routing, texts: object, options: EmbedOptions) -> Request:
    """Check the arguments of ``embed`` and make the request.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    given = [texts] if isinstance(texts, str) else texts
    dimensions = options.get("dimensions")
    sent = {}
    if dimensions is not None:
        sent["dimensions"] = parameters.whole_number("dimensions", dimensions, 1, MAX_DIMENSIONS)
    return _request(routing, EMBEDDING, _checked("texts", given, MAX_TEXTS), options, sent)


def rerank_request(
    routing: Routing, query: object, documents: object, top_n: int | None, options: TextOptions
) -> Request:
    """Check the arguments of ``rerank`` and make the request.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    asked = _text("query", query)
    checked = _checked("documents", documents, MAX_DOCUMENTS)
    sent = {} if top_n is None else {"top_n": parameters.whole_number("top_n", top_n, 1, MAX_DOCUMENTS)}
    return _request(routing, RERANK, checked, options, sent, query=asked)


def _request(
    routing: Routing,
    group: ModelGroup,
    texts: tuple[str, ...],
    options: TextOptions,
    sent: dict[str, int],
    *,
    query: str | None = None,
) -> Request:
    task = options.get("task") or group
    if task != group:
        arguments.check_task(routing, task)
    return Request(
        **arguments.common(routing, options),
        tier=group,
        task=task,
        max_tokens=0,
        texts=texts,
        query=query,
        parameters=sent,
        may_degrade=False,
    )


def _checked(name: str, texts: object, most: int) -> tuple[str, ...]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidRequest(f"{name} must be a list of texts, not {quoted(texts)}")
    if not 1 <= len(texts) <= most:
        raise InvalidRequest(f"{name} must have 1 to {most:,} texts, not {len(texts):,}")
    checked = tuple(_text(f"{name}[{place}]", text) for place, text in enumerate(texts))
    if (total := sum(map(len, checked))) > messages.MAX_CHARACTERS:
        raise InvalidRequest(
            f"{name} have {total:,} characters in all: at most {messages.MAX_CHARACTERS:,} are allowed"
        )
    return checked


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{name} must be a text that is not empty, not {quoted(value)}")
    return messages.text(name, value)
