"""The tier of a request: one that has its model, or one with a model that supports what it needs.

Requests to embed and to rerank have groups of models of their own instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from supernova_ai.config import Config
from supernova_ai.config.fields import nearest
from supernova_ai.errors import InvalidRequest, NoProvider, UnknownModel
from supernova_ai.litellm_adapter import parameters
from supernova_ai.routing.deployments import Deployment
from supernova_ai.types import EMBEDDING, TIERS, ModelGroup, Request


def assign_tier(
    request: Request, config: Config, deployments: Mapping[str, Deployment]
) -> tuple[Request, list[ModelGroup]]:
    """Return the request in the tier that is asked first, and the cheaper tiers to ask after it.

    Raises:
        UnknownModel: its model is not configured.
        InvalidRequest: no model supports what it needs, or LiteLLM would take one of its extra parameters for
            itself.
        NoProvider: no provider has a model for its tier, nor for one that it may degrade to.
    """
    for provider, extra in request.extra.items():
        for name in filter(parameters.is_setting, extra):
            raise InvalidRequest(
                f"extra[{provider!r}][{name!r}]: this package sets it; see docs/configuration.md"
            )
    groups = TIERS if request.tier in TIERS else (request.tier,)
    deployments = {name: d for name, d in deployments.items() if d.tier in groups}
    if request.model is not None and deployments:
        request = _pin(request, request.model, config, deployments)
    elif request.tier == EMBEDDING and deployments:
        # Vectors of different models cannot be compared: only this model may answer, wherever it is served.
        request = replace(request, model=min(deployments.values(), key=lambda d: d.rank).model)
    tiers: list[ModelGroup] = [request.tier, *_cheaper_tiers(request, config)]
    asked = [d for d in deployments.values() if d.tier in tiers]
    if not asked:
        other = [name for name, one in config.providers.items() if one.models.keys() & set(tiers)]
        remedy = _how_to_enable(config, other) or f"set 'providers.<name>.models.{request.tier}'"
        what = "the tier" if request.tier in TIERS else "the task"
        raise NoProvider(
            f"no enabled provider has a model for {what} {request.tier!r}"
            f"{' or a cheaper one' if len(tiers) > 1 else ''}: {remedy}"
        )
    fitting = [d for d in asked if d.fits(request)]
    if not fitting:
        lacking = " and ".join(sorted({what for d in asked for what in d.lacks(request)}))
        names = ", ".join(sorted({f"{d.provider}/{d.model}" for d in asked}))
        raise InvalidRequest(
            f"no model for this request supports {lacking}, as far as LiteLLM knows: not {names}. "
            f"Ask for another tier or model, or leave that out"
        )
    served, *below = (tier for tier in tiers if any(d.tier == tier for d in fitting))
    if served == request.tier:
        return request, below
    why = f"no provider has a {request.tier} model"
    if missing := sorted({what for d in asked if d.tier == request.tier for what in d.lacks(request)}):
        why = f"no {request.tier} model supports {' and '.join(missing)}"
    reason = f"{request.tier_reason}; {why}, degraded to {served}"
    return replace(request, tier=served, tier_reason=reason), below


def _pin(request: Request, model: str, config: Config, deployments: Mapping[str, Deployment]) -> Request:
    """Assign a request that names a model to a tier that has it, preferably its own."""
    found = [d for d in deployments.values() if model in (d.model, f"{d.provider}/{d.model}")]
    if not found:
        having = [
            name
            for name, one in config.providers.items()
            if model.startswith(f"{name}/") or model in one.models.values()
        ]
        known = sorted({f"{d.provider}/{d.model}" for d in deployments.values()})
        if remedy := _how_to_enable(config, having):
            raise UnknownModel(f"model {model!r} belongs to a provider that is not enabled: {remedy}")
        choice = f"choose one of: {', '.join(known)}.{nearest(model, known)}"
        use = "" if request.tier in TIERS else f" for {request.tier!r}"
        raise UnknownModel(f"model {model!r} is not configured{use}; {choice}")
    tiers = [d.tier for d in found]
    tier = request.tier if request.tier in tiers else tiers[0]
    return replace(request, tier=tier, tier_reason=f"model {model!r} was asked for")


def _how_to_enable(config: Config, names: Sequence[str]) -> str:
    """Return how to enable those of the providers that are not asked; empty where all are."""
    steps = [f"put {name!r} into 'routing.priority'" for name in names if name not in config.routing.priority]
    steps += [f"enable 'providers.{name}'" for name in names if not config.providers[name].enabled]
    return " and ".join(steps)


def _cheaper_tiers(request: Request, config: Config) -> list[ModelGroup]:
    """Return the cheaper tiers that may answer instead, in order."""
    if not (request.may_degrade and request.model is None and config.routing.fallback):
        return []
    chain = config.routing.degrade
    return list(chain[chain.index(request.tier) + 1 :]) if request.tier in chain else []
