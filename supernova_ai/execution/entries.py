"""The ledger's row of an attempt, and who pays for its request."""

from __future__ import annotations

import uuid

from supernova_ai.execution.request_state import Versions
from supernova_ai.ledger import Entry, Payer, labels
from supernova_ai.types import ModelGroup, Request


def entry_of(
    request: Request,
    versions: Versions,
    *,
    tier: ModelGroup,
    provider: str,
    model: str,
    slot: str | None,
    held: int,
    max_tokens: int,
    now_ms: int,
    address: str | None = None,
    key_version: int | None = None,
) -> Entry:
    """Return the ledger's row of an attempt that is about to be sent; ``held`` is nano-USD."""
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
        config_version=versions.config,
        price_version=versions.prices,
        max_tokens=max_tokens,
        address=address,
        environment=versions.environment,
        key_version=key_version,
        team=request.team,
        tags=labels.to_text(request.tags),
    )


def payer_of(request: Request) -> Payer:
    """Return who pays for the request."""
    return Payer(request.user_id, request.team, request.tags)
