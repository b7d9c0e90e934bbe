"""The price map that LiteLLM bundles, read from its file: importing LiteLLM would take seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

_FILE = "model_prices_and_context_window_backup.json"


def file() -> Path:
    """Return the file with the map, in LiteLLM's folder."""
    spec = util.find_spec("litellm")  # finds the package without importing it
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(_FILE)


@cache
def bundled() -> Mapping[str, Mapping[str, Any]]:
    """Return the map: entries by model, as LiteLLM bundles them, whatever a program registered with it."""
    entries: dict[str, dict[str, Any]] = json.loads(file().read_bytes())
    return entries


def version() -> str:
    """Return the version of the map: LiteLLM bundles one with each release."""
    return f"litellm-{metadata.version('litellm')}"
