"""Check the budgets for limits that can never stop a call, and for limits that always do."""

from __future__ import annotations

from collections.abc import Iterator

from supernova_ai.characters import counted
from supernova_ai.config import Budget
from supernova_ai.money import show, to_nano
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.operations.findings import Finding

_LONGEST = {("day", "week"): 7, ("day", "month"): 31, ("week", "month"): 6}
"""The most periods of the first kind that one of the second touches."""

_QUESTION = ({"role": "user", "content": "What is a bond?"},)


def limits(subject: Subject) -> Iterator[Finding]:
    """Compare each limit with the other budgets, and with the cheapest possible call."""
    budgets = subject.config.budgets
    if not budgets:
        yield Finding(
            "budgets", "warning", "there is no budget: nothing limits what calls cost", "add one: 'budgets'"
        )
        return
    useless = 0
    for budget in budgets:
        for other in budgets:
            if other is not budget and _covers(other, budget) and _never_binds(budget, other):
                useless += 1
                yield Finding(
                    "budgets",
                    "note",
                    f"budget {_shown(budget)} can never be reached: {_shown(other)} stops calls before",
                    f"lower budgets.{budget.name}.limit, or remove it",
                )
                break
    yield from _too_low(subject)
    yield Finding(
        "budgets",
        "ok",
        f"{counted(len(budgets), 'budget')}, of which {len(budgets) - useless} can stop a call",
    )


def _covers(wide: Budget, narrow: Budget) -> bool:
    """Say whether all that the narrow budget counts counts in one window of the wide one as well."""
    scopes = ("provider", "task", "user", "team", "tag")
    same = (getattr(wide, name) in (None, getattr(narrow, name)) for name in scopes)
    return wide.time_zone == narrow.time_zone and all(same)


def _never_binds(budget: Budget, other: Budget) -> bool:
    if budget.per == other.per and budget.limit == other.limit and _covers(budget, other):
        return budget.name > other.name  # the same budget twice: one of both is useless
    return budget.limit >= other.limit * _LONGEST.get((other.per, budget.per), 1)


def _too_low(subject: Subject) -> Iterator[Finding]:
    from supernova_ai.litellm_adapter import token_bounds  # imports LiteLLM, which has the prices
    from supernova_ai.routing import deployments

    config = subject.config
    known = [one for one in deployments.build(config).values() if one.price is not None]
    for budget in config.budgets:
        served = [one for one in known if budget.provider in (None, one.provider)]
        prompt = token_bounds.messages_bound(_QUESTION)
        costs = [one.price.bound(prompt, config.routing.min_tokens) for one in served if one.price]
        if costs and min(costs) > to_nano(budget.limit):
            yield Finding(
                "budgets",
                "error",
                f"budget {_shown(budget)} refuses every call: the cheapest needs {show(min(costs))}",
                f"raise budgets.{budget.name}.limit, or lower routing.min_tokens",
            )


def _shown(budget: Budget) -> str:
    return f"{budget.name} ({show(to_nano(budget.limit))} per {budget.per})"
