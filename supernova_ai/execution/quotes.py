"""Quotes: the most that a request can cost, without sending it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from supernova_ai.execution.entries import payer_of
from supernova_ai.ledger import Ledger
from supernova_ai.money import to_usd
from supernova_ai.routing.deployments import Deployment
from supernova_ai.types import Quote, Request


def quote(request: Request, deployments: Iterable[Deployment], ledger: Ledger) -> Quote:
    """Return the most the request can cost at each deployment of its tier, and what its budgets have left."""
    served = [d for d in deployments if d.tier == request.tier and d.fits(request)]
    room = ledger.remaining_by_budget(
        {d.provider for d in served}, payer=payer_of(request), task=request.task
    )
    return Quote(
        tier=request.tier,
        max_tokens=request.max_tokens,
        worst_case={f"{d.provider}/{d.model}": _worst(d, request) for d in served},
        headroom={budget: to_usd(left) for budget, left in room.items()},
    )


def _worst(deployment: Deployment, request: Request) -> Decimal | None:
    """Return the most the request can cost at the deployment, in USD; None where no price is known."""
    if deployment.price is None:
        return None
    return to_usd(deployment.bound(request, request.max_tokens))
