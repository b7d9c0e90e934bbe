"""Where a request belongs: the tier that has its model, or that somebody serves and can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from supernova_ai.config import Config
from supernova_ai.engine.deployments import Deployment
from supernova_ai.errors import InvalidRequest, NoProvider
from supernova_ai.types import Kind, Request, Tier

_READS: dict[Kind, str] = {"image": "images", "pdf": "PDF documents"}


def placed(
    request: Request, config: Config, deployments: Mapping[str, Deployment]
) -> tuple[Request, list[Tier]]:
    """Return the request in the tier where it is to be asked first, and the tiers to be asked after that.

    Raises:
        InvalidRequest: it names a model that is not configured, or nobody can read its attachments.
        NoProvider: nobody serves its tier, nor one that it may degrade to.
    """
    if request.model is not None:
        request = _pinned(request, request.model, deployments)
    tiers = [request.tier, *_below(request, config)]
    asked = [d for d in deployments.values() if d.tier in tiers]
    if not asked:
        raise NoProvider(
            f"no provider that may be asked has a model for the tier {request.tier!r}"
            f"{' or a cheaper one' if len(tiers) > 1 else ''}; check 'providers' and 'routing'"
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
        why = f"no {request.tier} model can read what is attached"
    reason = f"{request.tier_reason}; {why}, degraded to {served}"
    return replace(request, tier=served, tier_reason=reason), below


def _pinned(request: Request, model: str, deployments: Mapping[str, Deployment]) -> Request:
    """Put a request that names a model into a tier that has it, its own if that does."""
    found = [d for d in deployments.values() if model in (d.model, f"{d.provider}/{d.model}")]
    if not found:
        known = ", ".join(sorted({f"{d.provider}/{d.model}" for d in deployments.values()}))
        raise InvalidRequest(f"model {model!r} is not configured; choose one of: {known}")
    tiers = [d.tier for d in found]
    tier = request.tier if request.tier in tiers else tiers[0]
    return replace(request, tier=tier, tier_reason=f"model {model!r} was asked for")


def _below(request: Request, config: Config) -> list[Tier]:
    """Return the tiers that may answer in its stead, in order."""
    if not (request.may_degrade and request.model is None and config.routing.fallback):
        return []
    chain = config.routing.degrade
    return list(chain[chain.index(request.tier) + 1 :]) if request.tier in chain else []
