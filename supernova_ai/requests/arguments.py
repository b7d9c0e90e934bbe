"""The arguments of a call: each is checked, and together they become one frozen request."""

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
"""Of one text: more than any model reads."""

MAX_TOKENS = 1_000_000
"""More completion tokens than any model writes: a larger ``max_tokens`` is a mistake."""


def build_request(
    routing: Routing, template: Template, values: Mapping[str, Any], options: RequestOptions
) -> Request:
    """Check every argument of a call and make the request.

    Args:
        routing: the ``routing`` section of the configuration.
        template: the prompt.
        values: the variables of the prompt.
        options: the options that the user gave.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    _check_values(template, values)
    metadata = options.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest(f"metadata must be a mapping of names to texts, not {metadata!r:.60}")
    task = options.get("task") or template.task
    if task not in tuple(routing.tasks):
        raise InvalidRequest(
            f"task {task!r} is not configured; choose one of: {', '.join(routing.tasks)}, "
            f"or add it under 'routing.tasks'"
        )
    cache = options.get("cache", True)
    if not isinstance(cache, bool):
        raise InvalidRequest(f"cache must be True or False, not {cache!r:.60}")
    tier, reason = _tier(options, template, values, (task, routing.tasks[task]))
    return Request(
        id=uuid.uuid4().hex,
        messages=template.render(values),
        tier=tier,
        task=task,
        max_tokens=_max_tokens(options.get("max_tokens"), routing.max_tokens),
        user_id=identity("user_id", options.get("user_id")),
        session_id=identity("session_id", options.get("session_id")),
        temperature=_number("temperature", options.get("temperature"), 0, 2),
        timeout=seconds("timeout", options.get("timeout")) or routing.deadline,
        max_cost=usd("max_cost", options.get("max_cost")),
        on_interrupt=_on_interrupt(options.get("on_interrupt")) or routing.on_interrupt,
        model=options.get("model"),
        metadata=dict(metadata or {}),
        prompt_name=template.name,
        prompt_hash=template.hash,
        tier_reason=reason,
        may_degrade=options.get("complexity") != "critical",
        cache=cache,
    )


def text(name: str, value: str) -> str:
    """Return a text that a provider and a database accept.

    Raises:
        InvalidRequest: it is not a text, has more than ``MAX_CHARACTERS``, or has a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text, not {value!r:.60}")
    if len(value) > MAX_CHARACTERS:
        raise InvalidRequest(f"{name} has {len(value):,} characters: at most {MAX_CHARACTERS:,} are allowed")
    return whole(name, value)


def identity(name: str, value: str | int | None) -> str | None:
    """Return the id of a user or session as a text.

    Raises:
        InvalidRequest: it is neither a text nor a whole number, or no database can store it.
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


def seconds(name: str, value: float | None) -> float | None:
    """Return a time in seconds.

    Raises:
        InvalidRequest: it is not between a millisecond and a day.
    """
    return _number(name, value, 0.001, 86_400)


def usd(name: str, value: Decimal | float | str | None) -> Decimal | None:
    """Return an amount of USD.

    Raises:
        InvalidRequest: it is not an amount above 0.
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


def _check_values(template: Template, values: Mapping[str, Any]) -> None:
    types = {variable.name: variable.type for variable in template.variables}
    for name, value in values.items():
        if types.get(name) == "text" and not (isinstance(value, str) and value.strip()):
            raise InvalidRequest(f"{name} must be a text that is not empty, not {value!r:.60}")
        if isinstance(value, str):
            text(name, value)


def _tier(
    options: RequestOptions, template: Template, values: Mapping[str, Any], task: tuple[str, Tier]
) -> tuple[Tier, str]:
    """Return the tier and its reason: the tier asked for, the complexity, the prompt or the task."""
    tier, quality, complexity = options.get("tier"), options.get("quality"), options.get("complexity")
    for name, value in (("tier", tier), ("quality", quality)):
        if value is not None and value not in TIERS:
            raise InvalidRequest(f"{name} {value!r} is not known; choose one of: {', '.join(TIERS)}")
    if tier and quality and tier != quality:
        raise InvalidRequest(f"tier {tier!r} and quality {quality!r} are two names of one thing; give one")
    tier = tier or quality
    if complexity is not None:
        if tier:
            raise InvalidRequest(
                f"complexity {complexity!r} would choose the tier, and {tier!r} is given; give one"
            )
        return _tier_of_complexity(complexity, values)
    if tier:
        return tier, "asked for"
    if template.tier:
        return template.tier, f"prompt {template.name!r}"
    return task[1], f"task {task[0]!r}"


def _tier_of_complexity(complexity: Complexity, values: Mapping[str, Any]) -> tuple[Tier, str]:
    if complexity == "auto":
        found = estimate("\n".join(map(str, values.values())))
        return TIER_OF[found.complexity], f"complexity auto: {found.complexity} ({found.why})"
    if complexity not in tuple(TIER_OF):
        known = ", ".join((*TIER_OF, "auto"))
        raise InvalidRequest(f"complexity {complexity!r} is not known; choose one of: {known}")
    return TIER_OF[complexity], f"complexity: {complexity}"


def _on_interrupt(value: OnInterrupt | None) -> OnInterrupt | None:
    known = get_args(OnInterrupt)
    if value is not None and value not in known:
        raise InvalidRequest(f"on_interrupt {value!r:.60} is not known; choose one of: {', '.join(known)}")
    return value


def _max_tokens(value: int | None, default: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TOKENS:
        raise InvalidRequest(f"max_tokens must be a whole number from 1 to {MAX_TOKENS}, not {value!r}")
    return value


def _number(name: str, value: float | None, low: float, high: float) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and low <= value <= high):
        raise InvalidRequest(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
    return value
