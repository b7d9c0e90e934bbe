"""Send the same burst against the same budget, through LiteLLM's Router and through SuperNova.

200 calls run at once; the budget has room for 20. A stub on loopback is the provider. Its bill is compared.
Each side is its own process.

Run: uv run python benchmarks/overspend.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

CALLS, ROOM, MAX_TOKENS = 200, 20, 64
MODEL, KEY, MESSAGE = "gpt-4o-mini", "sk-benchmark-0123456789abcdef", "What is diversification?"
TEXT = " ".join(["word"] * MAX_TOKENS)
INPUT, OUTPUT = Decimal("0.00000015"), Decimal("0.0000006")  # USD per token, as LiteLLM's price map has it
LIMIT = ROOM * (25 * INPUT + MAX_TOKENS * OUTPUT)
"""USD for the day."""


async def bare(url: str) -> None:
    """Send the burst through LiteLLM's Router with a provider budget."""
    from supernova_ai.litellm_adapter.setup import litellm

    params = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": KEY}
    router = litellm.Router(
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
    from supernova_ai.keys import MasterKey, Vault
    from supernova_ai.secret import Secret
    from supernova_ai.store import Store

    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "benchmark.db"))
        openai = {"api_base": f"{url}/v1", "models": {"standard": MODEL}, "keys": ["primary"]}
        config = Config.model_validate(
            {
                "database": database,
                "providers": {"openai": openai},
                "routing": {"priority": ["openai"]},
                "budgets": [{"name": "daily", "limit": str(LIMIT), "per": "day", "provider": "openai"}],
            }
        )
        master = MasterKey.of(bytes(32))
        with Store(database) as store:
            Vault(store, master).add("openai", "primary", Secret(KEY))
        async with Supernova(config, master=master) as nova:
            calls = (nova.chat(MESSAGE, max_tokens=MAX_TOKENS) for _ in range(CALLS))
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, BudgetExceeded):
                    raise outcome


def bill(side: str) -> tuple[int, Decimal]:
    """Run one side; return how many calls reached the provider, and its bill for them in USD."""
    from supernova_ai.testing import StubProvider
    from supernova_ai.testing.answers import Answer, completion_for

    with StubProvider(TEXT) as provider:
        subprocess.run([sys.executable, __file__, side, provider.url], check=True)
        bodies = [request.body for request in provider.requests]
    usages = [completion_for(Answer(TEXT), body, body["max_tokens"]).usage for body in bodies]
    return len(usages), sum((u.prompt * INPUT + u.completion * OUTPUT for u in usages if u), Decimal(0))


def main() -> None:
    """Print both sides."""
    print(f"{CALLS} calls at once, a budget of ${LIMIT:f} with room for {ROOM}")
    print(f"{'':<16} {'admitted':>9} {'spent':>12} {'of the limit':>13}")
    for side, name in (("bare", "LiteLLM Router"), ("ours", "SuperNova")):
        admitted, spent = bill(side)
        print(f"{name:<16} {admitted:>9} {f'${spent:f}':>12} {spent / LIMIT:>13.1%}", flush=True)
    if spent > LIMIT:
        sys.exit("the limit was passed")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bare", url]:
            asyncio.run(bare(url))
        case ["ours", url]:
            asyncio.run(ours(url))
        case _:
            main()
