"""The arguments of a call: each is checked, and together they become one frozen request."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

from supernova_ai.characters import quoted
from supernova_ai.config import Routing
from supernova_ai.errors import InvalidRequest
from supernova_ai.identifiers import checked_tags, identifier, label
from supernova_ai.money import decimal
from supernova_ai.prompts import Template
from supernova_ai.requests import messages, parameters
from supernova_ai.requests.complexity import TIER_OF, estimate
from supernova_ai.requests.options import RequestOptions, TextOptions
from supernova_ai.requests.structured import structured
from supernova_ai.types import TIERS, Complexity, OnInterrupt, PromptCache, Request, Tier

_OF_PROMPT = "prompt"
"""The reason of a tier that the prompt names."""

MAX_TOKENS = 1_000_000
"""More completion tokens than any model writes: a larger ``max_tokens`` is a mistake."""


def build_request(
    routing: Routing,
    template: Template,
    values: Mapping[str, Any],
    options: RequestOptions,
    *,
    response_model: Any = None,
) -> Request:
    """Check every argument of a call and make the request.

    Args:
        routing: the ``routing`` section of the configuration.
        template: the prompt.
        values: the variables of the prompt.
        options: the options that the user gave.
        response_model: what the answer must be: a type or a JSON schema; None for a text.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    _check_values(template, values)
    texts = map(str, values.values())
    request = _request(routing, template.task, template.tier, texts, options, response_model)
    return replace(
        request,
        messages=template.render(values),
        prompt_name=template.name,
        prompt_hash=template.hash,
        tier_reason=f"prompt {template.name!r}" if request.tier_reason == _OF_PROMPT else request.tier_reason,
    )


def build_message_request(
    routing: Routing, given: object, options: RequestOptions, *, response_model: Any = None
) -> Request:
    """Check every argument of a call with ``messages`` and make the request.

    Raises:
        InvalidRequest: an argument is wrong; the message names it.
    """
    checked = messages.checked(given)
    texts = map(messages.text_of, checked)
    request = _request(routing, "chat", None, texts, options, response_model)
    return replace(request, messages=checked)


def with_system(request: Request, system: object) -> Request:
    """Return the request with a system prompt before its messages.

    Raises:
        InvalidRequest: it is not a text, is empty, or the messages begin with one.
    """
    words = messages.text("system", system)
    if not words.strip():
        raise InvalidRequest("system must be a text that is not empty")
    said = request.messages
    if request.prompt_name is not None:
        said = said[messages.leading(said) :]  # it takes the place of the prompt's own
    elif messages.leading(said):
        raise InvalidRequest("system and a first message of the system are given: give one")
    return replace(request, messages=({"role": "system", "content": words}, *said))


def _request(
    routing: Routing,
    own_task: str,
    own_tier: Tier | None,
    texts: Iterable[str],
    options: RequestOptions,
    response_model: Any,
) -> Request:
    """Return the request without its messages."""
    task = options.get("task") or own_task
    check_task(routing, task)
    tier, reason = _tier(options, own_tier, texts, (task, routing.tasks[task]))
    answer = None if response_model is None else structured(response_model)
    most = options.get("max_tokens")
    return Request(
        **common(routing, options),
        tier=tier,
        task=task,
        max_tokens=routing.max_tokens
        if most is None
        else parameters.whole_number("max_tokens", most, 1, MAX_TOKENS),
        parameters=parameters.checked(options, answer),
        answer=answer,
        prompt_cache=_prompt_cache(options.get("prompt_cache")),
        on_interrupt=_on_interrupt(options.get("on_interrupt")) or routing.on_interrupt,
        tier_reason=reason,
        may_degrade=options.get("complexity") != "critical",
    )


def common(routing: Routing, options: RequestOptions | TextOptions) -> dict[str, Any]:
    """Return the fields that every request has; its messages are added later.

    Raises:
        InvalidRequest: an option is wrong; the message names it.
    """
    cache = options.get("cache")
    return {
        "id": uuid.uuid4().hex,
        "messages": (),
        "user_id": identity("user_id", options.get("user_id")),
        "session_id": identity("session_id", options.get("session_id")),
        "team": team(options.get("team")),
        "tags": checked_tags(options.get("tags")),
        "extra": parameters.by_provider(options.get("extra")),
        "timeout": seconds("timeout", options.get("timeout")) or routing.deadline,
        "max_cost": usd("max_cost", options.get("max_cost")),
        "model": options.get("model"),
        "metadata": _metadata(options.get("metadata")),
        "cache": True if cache is None else parameters.switch("cache", cache),
    }


def check_task(routing: Routing, task: object) -> None:
    """Refuse a task that is not configured.

    Raises:
        InvalidRequest: it is not.
    """
    if task not in tuple(routing.tasks):
        raise InvalidRequest(
            f"task {quoted(task)} is not configured; choose one of: {', '.join(routing.tasks)}, "
            f"or add it under 'routing.tasks'"
        )


def _metadata(metadata: object) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest(f"metadata must be a mapping of names to texts, not {quoted(metadata)}")
    return dict(metadata or {})


def identity(name: str, value: str | int | None) -> str | None:
    """Return the id of a user or session as a text.

    Raises:
        InvalidRequest: it is neither a text nor a whole number, is empty, or no database can store it.
    """
    if value is None:
        return None
    if value == "":
        raise InvalidRequest(f"{name} is empty: leave it out, or give None, where there is none")
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > 256:
            raise InvalidRequest(f"{name} must be a whole number of at most 256 bits")
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text or a whole number, not {quoted(value)}")
    return identifier(name, value)


def team(value: str | None) -> str | None:
    """Return the name of a team.

    Raises:
        InvalidRequest: it is no text, is empty or too long, or no database can store it.
    """
    return value if value is None else label("team", value)


def seconds(name: str, value: float | None) -> float | None:
    """Return a time in seconds.

    Raises:
        InvalidRequest: it is not between a millisecond and a day.
    """
    return None if value is None else parameters.number(name, value, 0.001, 86_400)


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
        raise InvalidRequest(f"{name} must be more than 0 USD, not {quoted(value)}")
    return amount


def _check_values(template: Template, values: Mapping[str, Any]) -> None:
    types = {variable.name: variable.type for variable in template.variables}
    for name, value in values.items():
        if types.get(name) == "text" and not (isinstance(value, str) and value.strip()):
            raise InvalidRequest(f"{name} must be a text that is not empty, not {quoted(value)}")
        if isinstance(value, str):
            messages.text(name, value)


def _tier(
    options: RequestOptions, own: Tier | None, texts: Iterable[str], task: tuple[str, Tier]
) -> tuple[Tier, str]:
    """Return the tier and its reason: the tier asked for, the complexity, the prompt or the task."""
    tier, quality, complexity = options.get("tier"), options.get("quality"), options.get("complexity")
    for name, value in (("tier", tier), ("quality", quality)):
        if value is not None and value not in TIERS:
            raise InvalidRequest(f"{name} {quoted(value)} is not known; choose one of: {', '.join(TIERS)}")
    if tier and quality and tier != quality:
        raise InvalidRequest(
            f"tier {quoted(tier)} and quality {quoted(quality)} are two names of one thing; give one"
        )
    tier = tier or quality
    if complexity is not None:
        if tier:
            raise InvalidRequest(
                f"complexity {quoted(complexity)} would choose the tier, and {quoted(tier)} is given; "
                f"give one"
            )
        return _tier_of_complexity(complexity, texts)
    if tier:
        return tier, "asked for"
    if own:
        return own, _OF_PROMPT
    return task[1], f"task {task[0]!r}"


def _tier_of_complexity(complexity: Complexity, texts: Iterable[str]) -> tuple[Tier, str]:
    if complexity == "auto":
        found = estimate("\n".join(texts))
        return TIER_OF[found.complexity], f"complexity auto: {found.complexity} ({found.why})"
    if complexity not in tuple(TIER_OF):
        known = ", ".join((*TIER_OF, "auto"))
        raise InvalidRequest(f"complexity {quoted(complexity)} is not known; choose one of: {known}")
    return TIER_OF[complexity], f"complexity: {complexity}"


def _on_interrupt(value: OnInterrupt | None) -> OnInterrupt | None:
    known = get_args(OnInterrupt)
    if value is not None and value not in known:
        raise InvalidRequest(f"on_interrupt {quoted(value)} is not known; choose one of: {', '.join(known)}")
    return value


def _prompt_cache(value: PromptCache | bool | None) -> PromptCache | None:
    if value is None or value is False:
        return None
    if value is not True and value not in get_args(PromptCache):
        raise InvalidRequest(f"prompt_cache must be True, False, 5m or 1h, not {quoted(value)}")
    return "5m" if value is True else value
