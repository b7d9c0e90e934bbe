"""The tier of a request: one that has its model, or one with a model that can read its attachments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from supernova_ai.config import Config
from supernova_ai.config.fields import nearest
from supernova_ai.errors import InvalidRequest, NoProvider
from supernova_ai.routing.deployments import Deployment
from supernova_ai.types import Kind, Request, Tier

_READS: dict[Kind, str] = {"image": "images", "pdf": "PDF documents"}


def assign_tier(
    request: Request, config: Config, deployments: Mapping[str, Deployment]
) -> tuple[Request, list[Tier]]:
    """Return the request in the tier that is asked first, and the cheaper tiers to ask after it.

    Raises:
        InvalidRequest: its model is not configured, or no model can read its attachments.
        NoProvider: no provider has a model for its tier, nor for one that it may degrade to.
    """
    if request.model is not None:
        request = _pin(request, request.model, config, deployments)
    tiers = [request.tier, *_cheaper_tiers(request, config)]
    asked = [d for d in deployments.values() if d.tier in tiers]
    if not asked:
        other = [name for name, one in config.providers.items() if one.models.keys() & set(tiers)]
        remedy = _how_to_enable(config, other) or f"set 'providers.<name>.models.{request.tier}'"
        raise NoProvider(
            f"no enabled provider has a model for the tier {request.tier!r}"
            f"{' or a cheaper one' if len(tiers) > 1 else ''}: {remedy}"
        )
    if request.attachments and not any(d.fits(request) for d in asked):
        kinds = " and ".join(sorted({_READS[one.kind] for one in request.attachments}))
        names = ", ".join(sorted({f"{d.provider}/{d.model}" for d in asked}))
        raise InvalidRequest(
            f"no model for this request can read {kinds}, as far as LiteLLM knows: not {names}. "
            f"Ask for another tier or model, or leave the attachments out"
        )
    served, *below = (tier for tier in tiers if any(d.tier == tier and d.fits(request) for d in asked))
    if served == request.tier:
        return request, below
    why = f"no provider has a {request.tier} model"
    if any(d.tier == request.tier for d in asked):
        why = f"no {request.tier} model can read the attachments"
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
            raise InvalidRequest(f"model {model!r} belongs to a provider that is not enabled: {remedy}")
        choice = f"choose one of: {', '.join(known)}.{nearest(model, known)}"
        raise InvalidRequest(f"model {model!r} is not configured; {choice}")
    tiers = [d.tier for d in found]
    tier = request.tier if request.tier in tiers else tiers[0]
    return replace(request, tier=tier, tier_reason=f"model {model!r} was asked for")


def _how_to_enable(config: Config, names: Sequence[str]) -> str:
    """Return how to enable those of the providers that are not asked; empty where all are."""
    steps = [f"put {name!r} into 'routing.priority'" for name in names if name not in config.routing.priority]
    steps += [f"enable 'providers.{name}'" for name in names if not config.providers[name].enabled]
    return " and ".join(steps)


def _cheaper_tiers(request: Request, config: Config) -> list[Tier]:
    """Return the cheaper tiers that may answer instead, in order."""
    if not (request.may_degrade and request.model is None and config.routing.fallback):
        return []
    chain = config.routing.degrade
    return list(chain[chain.index(request.tier) + 1 :]) if request.tier in chain else []
