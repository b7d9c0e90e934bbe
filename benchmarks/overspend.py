"""What a burst of calls spends of a budget, through LiteLLM's Router and through SuperNova.

200 calls run at once; the budget has room for 20. The provider's bill is compared with the limit.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.calls import MESSAGE, ROUTER, Peers
from benchmarks.results import OURS, Ratio
from benchmarks.setting import KEY, MASTER, MODEL, add_key, plain_litellm, settings
from benchmarks.sides import Side

CALLS, ROOM, MAX_TOKENS = 200, 20, 64
TEXT = " ".join(["word"] * MAX_TOKENS)
INPUT, OUTPUT = Decimal("0.00000015"), Decimal("0.0000006")  # USD per token, as LiteLLM's price map has it
LIMIT = ROOM * (25 * INPUT + MAX_TOKENS * OUTPUT)
"""USD for the day."""


async def bare(url: str) -> None:
    """Send the burst through LiteLLM's Router with a provider budget."""
    params = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
    router = plain_litellm().Router(
        model_list=[{"model_name": "standard", "litellm_params": params}],
        provider_budget_config={"openai": {"time_period": "1d", "budget_limit": float(LIMIT)}},
        num_retries=0,
    )
    messages = [{"role": "user", "content": MESSAGE}]
    calls = (router.acompletion("standard", messages, max_tokens=MAX_TOKENS) for _ in range(CALLS))
    await asyncio.gather(*calls, return_exceptions=True)


async def ours(url: str) -> None:
    """Send the burst through SuperNova with the same budget."""
    from supernova_ai import BudgetExceeded, Config, Supernova

    budget = {"name": "daily", "limit": str(LIMIT), "per": "day", "provider": "openai"}
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "benchmark.db"))
        add_key(database)
        config = Config.model_validate(settings(database, url) | {"budgets": [budget]})
        async with Supernova(config, master=MASTER) as nova:
            calls = (nova.chat(MESSAGE, max_tokens=MAX_TOKENS) for _ in range(CALLS))
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, BudgetExceeded):
                    raise outcome


def bill(side: Callable[..., Any]) -> Decimal:
    """Run one side; return the provider's bill in USD."""
    from supernova_ai.testing import StubProvider
    from supernova_ai.testing.answers import Answer, completion_for

    with StubProvider(TEXT) as provider:
        with Side(side, provider.url):
            pass
        bodies = [request.body for request in provider.requests]
    usages = [completion_for(Answer(TEXT), body, body["max_tokens"]).usage for body in bodies]
    return sum((u.prompt * INPUT + u.completion * OUTPUT for u in usages if u), Decimal(0))


def measure(_: Peers, __: bool) -> Iterator[Ratio]:
    """Compare what each side spends with the limit; more than the limit is a failure of ours."""
    for name, side, bound in ((OURS, ours, 1.0), (ROUTER, bare, None)):
        spent = float(bill(side) / LIMIT)
        yield Ratio("overspend", f"spent by {name}, {CALLS} calls at once", "the budget", [spent], bound)
