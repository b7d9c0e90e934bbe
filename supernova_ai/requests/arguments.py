"""The arguments of a call: each is checked before anything is opened, and all become one frozen request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, get_args

from supernova_ai.config import Routing
from supernova_ai.errors import InvalidRequest
from supernova_ai.identifiers import identifier, whole
from supernova_ai.money import decimal
from supernova_ai.prompts import Template
from supernova_ai.requests.complexity import TIER_OF, estimate
from supernova_ai.requests.options import RequestOptions
from supernova_ai.types import TIERS, Complexity, OnInterrupt, Request, Tier

MAX_CHARACTERS = 4_000_000
"""Characters of one text: more than any model reads, and still read here in a moment."""

MAX_TOKENS = 1_000_000
"""More completion tokens than any model gives; asking for more is a mistake."""


def build_request(
    routing: Routing, template: Template, values: Mapping[str, Any], options: RequestOptions
) -> Request:
    """Check every argument of a call and make the frozen request.

    Args:
        template: the prompt, which ``values`` are put into.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    kinds = {variable.name: variable.type for variable in template.variables}
    for name, value in values.items():
        if kinds.get(name) == "text" and not (isinstance(value, str) and value.strip()):
            raise InvalidRequest(f"{name} must be a text that is not empty, not {value!r:.60}")
        if isinstance(value, str):
            text(name, value)
    metadata = options.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest(f"metadata must be a mapping of names to texts, not {metadata!r:.60}")
    task = options.get("task") or template.task
    tasks = routing.tasks
    if task not in tuple(tasks):
        raise InvalidRequest(
            f"task {task!r} is not configured; choose one of: {', '.join(tasks)}, "
            f"or add it under 'routing.tasks'"
        )
    cache = options.get("cache", True)
    if not isinstance(cache, bool):
        raise InvalidRequest(f"cache must be True or False, not {cache!r:.60}")
    complexity = options.get("complexity")
    tier = _one_tier(options.get("tier"), options.get("quality"), complexity)
    reason = "asked for"
    if complexity is not None:
        tier, reason = _tier_for(complexity, "\n".join(map(str, values.values())))
    elif tier is None and template.tier:
        tier, reason = template.tier, f"prompt {template.name!r}"
    elif tier is None:
        tier, reason = tasks[task], f"task {task!r}"
    return Request(
        id=uuid.uuid4().hex,
        messages=template.render(values),
        tier=tier,
        task=task,
        max_tokens=_whole("max_tokens", options.get("max_tokens"), routing.max_tokens, MAX_TOKENS),
        user_id=identity("user_id", options.get("user_id")),
        session_id=identity("session_id", options.get("session_id")),
        temperature=_within("temperature", options.get("temperature"), 0, 2),
        timeout=seconds("timeout", options.get("timeout")) or routing.deadline,
        max_cost=usd("max_cost", options.get("max_cost")),
        on_interrupt=_one_of("on_interrupt", options.get("on_interrupt"), routing.on_interrupt),
        model=options.get("model"),
        metadata=dict(metadata or {}),
        prompt_name=template.name,
        prompt_hash=template.hash,
        tier_reason=reason,
        may_degrade=complexity != "critical",
        cache=cache,
    )


def text(name: str, value: str) -> str:
    """Return a text that can be sent and kept.

    Raises:
        InvalidRequest: it is no text, is longer than ``MAX_CHARACTERS``, or holds half a character.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {value!r:.60}")
    if len(value) > MAX_CHARACTERS:
        raise InvalidRequest(f"{name} has {len(value):,} characters: at most {MAX_CHARACTERS:,} are taken")
    return whole(name, value)


def identity(name: str, value: str | int | None) -> str | None:
    """Return the id of a user or session as a text.

    Raises:
        InvalidRequest: it is neither a text nor a whole number, or cannot be kept.
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > 256:
            raise InvalidRequest(f"{name} must be a whole number of at most 256 bits")
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text or a whole number, not {value!r:.60}")
    return identifier(name, value)


def _one_tier(tier: Tier | None, quality: Tier | None, complexity: Complexity | None) -> Tier | None:
    """Return the tier that was asked for by either of its names, None if a task or a complexity decides."""
    for name, value in (("tier", tier), ("quality", quality)):
        if value is not None and value not in TIERS:
            raise InvalidRequest(f"{name} {value!r} is not known; choose one of: {', '.join(TIERS)}")
    if tier and quality and tier != quality:
        raise InvalidRequest(f"tier {tier!r} and quality {quality!r} are two names of one thing; give one")
    asked = tier or quality
    if asked and complexity is not None:
        raise InvalidRequest(
            f"complexity {complexity!r} would choose the tier, and {asked!r} is given; give one"
        )
    return asked


def _tier_for(complexity: Complexity, text: str) -> tuple[Tier, str]:
    """Return the tier for so hard a question, and why it is that."""
    if complexity == "auto":
        found = estimate(text)
        return TIER_OF[found.complexity], f"complexity auto: {found.complexity} ({found.why})"
    if complexity not in tuple(TIER_OF):
        known = ", ".join((*TIER_OF, "auto"))
        raise InvalidRequest(f"complexity {complexity!r} is not known; choose one of: {known}")
    return TIER_OF[complexity], f"complexity: {complexity}"


def _one_of(name: str, value: OnInterrupt | None, default: OnInterrupt) -> OnInterrupt:
    known = get_args(OnInterrupt)
    if value is not None and value not in known:
        raise InvalidRequest(f"{name} {value!r:.60} is not known; choose one of: {', '.join(known)}")
    return value or default


def _whole(name: str, value: int | None, default: int, most: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}, not {value!r}")
    return value


def _within(name: str, value: float | None, least: float, most: float) -> float | None:
    if value is not None and not (
        isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    ):
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}, not {value!r}")
    return value


def seconds(name: str, value: float | None) -> float | None:
    """Return a time in seconds.

    Raises:
        InvalidRequest: it is not from a millisecond to a day.
    """
    return _within(name, value, 0.001, 86_400)


def usd(name: str, value: Decimal | float | str | None) -> Decimal | None:
    """Return an amount of USD.

    Raises:
        InvalidRequest: it is no amount, or not more than 0.
    """
    if value is None:
        return None
    try:
        amount = decimal(value)
    except ValueError as error:
        raise InvalidRequest(f"{name} must be an amount of USD such as 5.00: {error}") from None
    if amount <= 0:
        raise InvalidRequest(f"{name} must be more than 0 USD, not {value!r}")
    return amount
