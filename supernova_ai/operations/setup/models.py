"""Which models can be asked, what a question to each costs, and which order of providers is cheapest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set

from supernova_ai.config import Config
from supernova_ai.money import show
from supernova_ai.types import TIERS

_PROMPT, _ANSWER = 500, 500
"""Tokens of a usual question and of its answer."""


def recommend(config: Config, filled: Set[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each provider that can be asked, then the cheapest order if another one is set.

    Args:
        filled: the provider and slot of each key.
    """
    from supernova_ai.routing import deployments  # imports LiteLLM, which has the prices

    lines: dict[str, list[str]] = defaultdict(list)
    costs: dict[str, int] = {}
    for one in deployments.build(config).values():
        if one.tier not in TIERS or (one.slot is not None and (one.provider, one.slot) not in filled):
            continue
        cost = None if one.price is None else one.price.bound(_PROMPT, _ANSWER)
        shown = "no known price" if cost is None else "free" if cost == 0 else f"at most {show(cost)}"
        line = f"{one.tier}: {one.model} ({shown})"
        if line not in lines[one.provider]:  # once, not for each key slot
            lines[one.provider].append(line)
        if one.tier == "standard" and cost is not None:
            costs[one.provider] = cost
    for provider, models in lines.items():
        yield f"{provider}, a question of {_PROMPT} tokens: {'; '.join(models)}"
    paid = sorted((name for name in costs if costs[name]), key=lambda name: costs[name])
    present = [name for name in config.active_providers if name in paid]
    if len(paid) > 1 and paid != present:
        rest = [name for name in config.active_providers if name not in paid]
        yield (
            f"cheapest first would be {', '.join(paid)}: "
            f"supernova config set routing.priority '[{', '.join([*paid, *rest])}]'"
        )
