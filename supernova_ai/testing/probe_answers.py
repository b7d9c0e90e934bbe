"""The answers of a healthy provider to the free requests that probe its health and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from supernova_ai.testing.answers import Body
from supernova_ai.testing.dialects import CREATED, CREATED_AT, Anthropic, Dialect, Ollama, OpenAI


class ProbeAnswer(NamedTuple):
    """The dialect of the provider that is asked, and the JSON of its answer."""

    dialect: Dialect
    body: Body


_MODEL = "stub-model"
_DETAILS = {"format": "gguf", "family": "stub", "parameter_size": "1M", "quantization_level": "Q4_0"}
_TAG = {"name": _MODEL, "model": _MODEL, "modified_at": CREATED_AT, "size": 1_000_000, "digest": "0" * 64}
_TOKEN = {"displayName": "stub", "role": "read", "createdAt": CREATED_AT}

_PROBES: Mapping[str, ProbeAnswer] = {
    "/v1/models": ProbeAnswer(
        OpenAI(),
        {
            "object": "list",
            "data": [{"id": _MODEL, "object": "model", "created": CREATED, "owned_by": "stub"}],
        },
    ),
    "/api/tags": ProbeAnswer(Ollama(), {"models": [_TAG | {"details": _DETAILS}]}),
    "/api/version": ProbeAnswer(Ollama(), {"version": "0.12.0"}),
    # HuggingFace's hub formats errors like Ollama: {"error": …}.
    "/api/whoami-v2": ProbeAnswer(
        Ollama(),
        {
            "type": "user",
            "id": "0" * 24,
            "name": "stub",
            "fullname": "Stub",
            "auth": {"type": "access_token", "accessToken": _TOKEN},
        },
    ),
}
_ANTHROPIC_MODELS = ProbeAnswer(
    Anthropic(),
    {
        "data": [{"type": "model", "id": _MODEL, "display_name": "Stub", "created_at": CREATED_AT}],
        "first_id": _MODEL,
        "last_id": _MODEL,
        "has_more": False,
    },
)


def probe_answer(path: str, headers: Mapping[str, str]) -> ProbeAnswer | None:
    """Return the answer to a GET of the path; None if no provider has the path."""
    if path == "/v1/models" and "anthropic-version" in headers:
        return _ANTHROPIC_MODELS
    return _PROBES.get(path)
