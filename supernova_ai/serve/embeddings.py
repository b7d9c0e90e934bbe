"""OpenAI's request for embeddings as the options of ``embed``, and its answer."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests.options import EmbedOptions
from supernova_ai.serve.headers import OPTIONS, PREFIX
from supernova_ai.serve.request_bodies import UnknownField
from supernova_ai.types import Embeddings

FIELDS = ("dimensions", "encoding_format", "input", "model", "safety_identifier", "user")


def options_of(body: Mapping[str, Any], from_headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``embed``; options from headers take precedence over fields.

    Raises:
        InvalidRequest: a field is unknown or wrong, or a header is for chats only.
    """
    given = {name: value for name, value in body.items() if value is not None}
    for name in given:
        if name not in FIELDS:
            raise UnknownField(name, FIELDS, "embeddings")
    for name, option in OPTIONS.items():
        if option in from_headers and option not in EmbedOptions.__annotations__:
            raise InvalidRequest(f"{PREFIX}{name} is for chats only: leave it out")
    for name in ("model", "input"):
        if name not in given:
            raise InvalidRequest(f"{name} is missing")
    if given.get("encoding_format", "float") not in ("float", "base64"):
        raise InvalidRequest("encoding_format must be 'float' or 'base64'")
    if not isinstance(model := given["model"], str):
        raise InvalidRequest(f"model must be a text, not {quoted(model)}")
    return {
        "texts": _texts(given["input"]),
        "model": None if model == "default" else model,
        "dimensions": given.get("dimensions"),
        "user_id": given.get("user", given.get("safety_identifier")),
        **from_headers,
    }


def answer(found: Embeddings, *, as_base64: bool) -> dict[str, Any]:
    """Return the vectors in OpenAI's form: as numbers, or as the base64 of 32-bit floats."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": n, "embedding": _packed(vector) if as_base64 else vector}
            for n, vector in enumerate(found.vectors)
        ],
        "model": f"{found.provider}/{found.model}",
        "usage": {"prompt_tokens": found.usage.prompt, "total_tokens": found.usage.prompt},
        "supernova": {
            "request_id": found.request_id,
            "cost_usd": f"{found.cost:f}",
            "cost_basis": found.cost_basis,
            "provider": found.provider,
            "cached": found.cached,
        },
    }


def _texts(given: object) -> object:
    if isinstance(given, str) or (isinstance(given, list) and all(isinstance(one, str) for one in given)):
        return given
    raise InvalidRequest(
        "input must be a text or a list of texts. Numbers of tokens are refused, because each model has "
        "numbers of its own; LangChain sends texts with check_embedding_ctx_length=False"
    )


def _packed(vector: tuple[float, ...]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
