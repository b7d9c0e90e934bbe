"""The free questions by which a provider's health and keys are checked, and what a healthy one answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from supernova_ai.testing.answers import Body
from supernova_ai.testing.dialects import CREATED, CREATED_AT, Anthropic, Dialect, Ollama, OpenAI


class ProbeRequest(NamedTuple):
    """Who is asked, and the JSON answered."""

    dialect: Dialect
    body: Body


_MODEL = "stub-model"
_DETAILS = {"format": "gguf", "family": "stub", "parameter_size": "1M", "quantization_level": "Q4_0"}
_TAG = {"name": _MODEL, "model": _MODEL, "modified_at": CREATED_AT, "size": 1_000_000, "digest": "0" * 64}
_TOKEN = {"displayName": "stub", "role": "read", "createdAt": CREATED_AT}

_PROBES: Mapping[str, ProbeRequest] = {
    "/v1/models": ProbeRequest(
        OpenAI(),
        {
            "object": "list",
            "data": [{"id": _MODEL, "object": "model", "created": CREATED, "owned_by": "stub"}],
        },
    ),
    "/api/tags": ProbeRequest(Ollama(), {"models": [_TAG | {"details": _DETAILS}]}),
    "/api/version": ProbeRequest(Ollama(), {"version": "0.12.0"}),
    # HuggingFace's hub writes errors as Ollama does: {"error": …}.
    "/api/whoami-v2": ProbeRequest(
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
_ANTHROPIC_MODELS = ProbeRequest(
    Anthropic(),
    {
        "data": [{"type": "model", "id": _MODEL, "display_name": "Stub", "created_at": CREATED_AT}],
        "first_id": _MODEL,
        "last_id": _MODEL,
        "has_more": False,
    },
)


def find_probe(path: str, headers: Mapping[str, str]) -> ProbeRequest | None:
    """Return who answers a GET of the path, and what; None if no provider has it."""
    if path == "/v1/models" and "anthropic-version" in headers:
        return _ANTHROPIC_MODELS
    return _PROBES.get(path)
