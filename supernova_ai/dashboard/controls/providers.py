"""Enable or disable a provider, and edit the price of a model."""

from __future__ import annotations

from supernova_ai.config import Price
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls import settings
from supernova_ai.dashboard.controls.control import Control, Plan
from supernova_ai.dashboard.controls.fields import Field
from supernova_ai.dashboard.controls.task import Task
from supernova_ai.money import NANO
from supernova_ai.pricing import prices


def _switch_fields(task: Task) -> list[Field]:
    names = [(name, name) for name in task.editor.loaded.config.providers]
    states = [("true", "enabled: it is asked"), ("false", "disabled: it is never asked")]
    return [
        Field("provider", "Provider", "choice", choices=names),
        Field("enabled", "State", "choice", choices=states),
    ]


def _switch(task: Task) -> Plan:
    return settings.setting(task, {f"providers.{task.values['provider']}.enabled": task.values["enabled"]})


def _price_fields(task: Task) -> list[Field]:
    names = [
        f"{name}/{model}"
        for name, provider in task.editor.loaded.config.providers.items()
        for model in dict.fromkeys([*provider.models.values(), *provider.prices])
    ]
    chosen = settings.chosen(task, "model", "Model", [(name, name) for name in names])
    if chosen.kind == "first":
        return [chosen]
    own = _own_price(task, chosen.value)
    values = (own.input, own.output, own.cached_input) if own else (None, None, None)
    prompt, completion, cached = ("" if usd is None else f"{usd:f}" for usd in values)
    now = _now(task, chosen.value)
    return [
        chosen,
        Field("input", "Prompt tokens", value=prompt, hint=f"USD per million; {now[0]}"),
        Field("output", "Completion tokens", value=completion, hint=f"USD per million; {now[1]}"),
        Field(
            "cached_input",
            "Cached prompt tokens",
            value=cached,
            hint=f"USD per million; {now[2]}. Empty: as other prompt tokens",
            optional=True,
        ),
    ]


def _now(task: Task, name: str) -> tuple[str, str, str]:
    """Say which prices are in force, wherever they come from."""
    provider, _, model = name.partition("/")
    config = task.editor.loaded.config
    price = prices.find(config.type_of(provider), model, config.providers[provider])
    if price is None:
        return ("now unknown",) * 3
    rates = price.rates[0]
    prompt, completion, cached = (
        f"now {(rate * 1_000_000 / NANO).normalize():f}"
        for rate in (rates.prompt, rates.completion, rates.cached)
    )
    return prompt, completion, cached


def _price(task: Task) -> Plan:
    provider, _, model = task.values["model"].partition("/")
    before = _own_price(task, task.values["model"])
    wanted = {name: task.values[name] for name in ("input", "output", "cached_input")}
    if not wanted["cached_input"] and (before is None or before.cached_input is None):
        del wanted["cached_input"]
    return settings.setting(
        task,
        {f'providers.{provider}.prices."{model}".{name}': usd or "null" for name, usd in wanted.items()},
    )


def _own_price(task: Task, name: str) -> Price | None:
    provider, _, model = name.partition("/")
    known = task.editor.loaded.config.providers.get(provider)
    return known.prices.get(model) if known else None


PROVIDER = Control(
    name="provider",
    title="Enable or disable a provider",
    button="Change the provider",
    about="A provider that is disabled is never asked; calls under way end.",
    role=Role.ADMIN,
    page="now",
    fields=_switch_fields,
    plan=_switch,
)
PRICE = Control(
    name="price",
    title="Edit a price",
    button="Change the price",
    about="Your price takes the place of LiteLLM's price list, from the next call on.",
    role=Role.ADMIN,
    page="money",
    fields=_price_fields,
    plan=_price,
)
