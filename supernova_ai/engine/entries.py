"""The ledger's row of a request, before anything is known of how it ends."""

from __future__ import annotations

import uuid

from supernova_ai.ledger import Entry
from supernova_ai.types import Request, Tier


def entry_of(
    request: Request,
    versions: tuple[str, str],
    *,
    tier: Tier,
    provider: str,
    model: str,
    slot: str | None,
    held: int,
    max_tokens: int,
    now_ms: int,
    address: str | None = None,
) -> Entry:
    """Return the row; ``versions`` are of the configuration and the price map, ``held`` is nano-USD."""
    return Entry(
        id=uuid.uuid4().hex,
        request=request.id,
        process="",
        user_id=request.user_id,
        session_id=request.session_id,
        task=request.task,
        tier=tier,
        provider=provider,
        model=model,
        key_slot=slot,
        held_nano=held,
        started_ms=now_ms,
        prompt_name=request.prompt_name,
        prompt_hash=request.prompt_hash,
        config_version=versions[0],
        price_version=versions[1],
        max_tokens=max_tokens,
        address=address,
    )
