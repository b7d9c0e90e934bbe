"""Attempts as the ledger is told of them, without a provider."""

from __future__ import annotations

from typing import Any

from supernova_ai.ledger import Entry

_USUAL: dict[str, Any] = {
    "request": "request",
    "process": "",
    "user_id": None,
    "session_id": None,
    "task": "chat",
    "tier": "standard",
    "provider": "openai",
    "model": "gpt",
    "key_slot": "primary",
    "prompt_name": None,
    "prompt_hash": None,
    "config_version": "c",
    "price_version": "p",
}


def entry(name: str, amount: int, now_ms: int, **given: Any) -> Entry:
    """An attempt that may cost so many nano-USD; the rest is usual unless given."""
    own: dict[str, Any] = {"id": name, "held_nano": amount, "started_ms": now_ms}
    return Entry(**_USUAL | own | given)
