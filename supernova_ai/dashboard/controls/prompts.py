"""Try a prompt: the quote first, then the answer of a model."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from peewee import Database

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.control import Control, Done, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys.audited_store import Record
from supernova_ai.money import show
from supernova_ai.types import TIERS, Quote, Reply

if TYPE_CHECKING:  # its import takes long
    from supernova_ai.requests.options import StreamOptions

_MOST_IN_MESSAGE = 100_000
_LEAST = Decimal("0.000000001")
"""The cap where the quote is nothing: a model that costs something is not asked instead."""


def _fields(task: Task) -> list[Field]:
    providers = task.loaded.config.providers
    models = [
        f"{name}/{providers[name].models[tier]}"
        for name in task.loaded.config.active_providers
        for tier in TIERS
        if providers[name].models.get(tier)
    ]
    return [
        Field("message", "Message", "lines", most=_MOST_IN_MESSAGE),
        Field(
            "tier",
            "Tier",
            "choice",
            choices=[("", "that of the task chat"), *((t, t) for t in TIERS)],
            optional=True,
        ),
        Field(
            "model",
            "Model",
            "choice",
            choices=[("", "any of the tier"), *((m, m) for m in dict.fromkeys(models))],
            optional=True,
        ),
        Field("max_tokens", "Longest answer", value="1000", hint="in tokens: the quote covers all of it"),
    ]


def _plan(task: Task) -> Plan:
    if reason := _off(task.loaded.config):
        raise InvalidRequest(reason)
    message, most = task.values["message"], task.values["max_tokens"]
    if not most.isdecimal():
        raise InvalidRequest("'Longest answer' must be a number of tokens, such as 1000")
    options: StreamOptions = {
        "user_id": task.user,
        "tier": next((tier for tier in TIERS if tier == task.values["tier"]), None),
        "model": task.values["model"] or None,
        "max_tokens": int(most),
    }
    quote = task.client.quote(message, **options)
    bound = _bound(quote)

    def ask(_: Database, record: Record) -> None:
        record("prompt.tried", quote.tier, {"at_most": show(bound)})

    def do() -> Done:
        task.vault.audited(ask)
        capped: StreamOptions = {**options, "max_cost": max(bound, _LEAST)}
        reply = task.client.chat(message, **capped)
        return Done([_reply_line(reply)], reply.content or reply.refusal or "")

    return Plan(
        [
            *(f"{model}: {_at_most(cost)}." for model, cost in quote.worst_case.items()),
            f"The first of them that can answers. It counts as spent by {task.user}: {show(bound)} at most.",
        ],
        do,
        [
            "If they fail, a model of a cheaper tier may answer, for no more than that.",
            *(f"The budget {budget} has {show(left)} left." for budget, left in quote.headroom.items()),
        ],
    )


def _bound(quote: Quote) -> Decimal:
    known = [cost for cost in quote.worst_case.values() if cost is not None]
    if not quote.worst_case:
        raise InvalidRequest("no model can be asked: choose another tier or model")
    if not known:
        raise InvalidRequest(
            f"no price is known of {', '.join(quote.worst_case)}, so there is no quote: set it under 'prices'"
        )
    return max(known)


def _at_most(cost: Decimal | None) -> str:
    return "its price is not known, so that it is not asked" if cost is None else f"{show(cost)} at most"


def _reply_line(reply: Reply) -> str:
    tokens = f"{reply.usage.prompt} + {reply.usage.completion} tokens"
    cost = f"{show(reply.cost)} ({reply.cost_basis})"
    return (
        f"{reply.provider}/{reply.model}, {reply.tier} ({reply.tier_reason}), {tokens}, {cost}, "
        f"{reply.latency_s:.2f} s, request {reply.request_id}"
    )


def _off(config: Config) -> str:
    return "" if config.dashboard.try_prompts else "Prompts cannot be tried: dashboard.try_prompts is off."


TRY_PROMPT = Control(
    name="prompt",
    title="Try a prompt",
    button="Ask the model",
    about="A model answers your message. You see first what that costs at most.",
    role=Role.OPERATOR,
    page="now",
    fields=_fields,
    plan=_plan,
    lasts=True,
    off=_off,
)
