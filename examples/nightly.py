"""Give advice on fifty symbols overnight, for at most half a dollar, with a progress bar.

Run: uv run python examples/nightly.py

The ledger enforces the budget: no more is spent, whatever the concurrency. Once it is used up, the remaining
symbols get their rationale without a model.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from supernova_ai import Advice, Supernova, aadvise
from supernova_ai.config import Budget, load

NIGHTLY = "nightly"
LIMIT = Decimal("0.50")
SYMBOLS = [f"SYN{number:02}" for number in range(1, 51)]
AT_ONCE = 8


def bars_of(symbol: str, until: date) -> list[dict[str, object]]:
    """Return a year of bars: here a seeded random walk, in your program from a data source."""
    chance, price, bars = random.Random(symbol), 100.0, []  # noqa: S311 - a toy market, not a secret
    for back in range(250, 0, -1):
        before, price = price, price * (1 + chance.gauss(0.0003, 0.015))
        high, low = max(before, price) * 1.004, min(before, price) * 0.996
        day = until - timedelta(days=back)
        volume = chance.randint(500_000, 2_000_000)
        bars.append({"date": day, "open": before, "high": high, "low": low, "close": price, "volume": volume})
    return bars


async def main() -> None:
    """Give advice on all symbols, and print a summary."""
    config = load().config
    budget = Budget(name=NIGHTLY, limit=LIMIT, per="day", user=NIGHTLY)
    gate, advice, console = asyncio.Semaphore(AT_ONCE), dict[str, Advice](), Console()
    today = datetime.now(UTC).date()

    async def one(nova: Supernova, symbol: str) -> None:
        async with gate:
            advice[symbol] = await aadvise(
                bars_of(symbol, today), symbol=symbol, risk_score=40, user_id=NIGHTLY, client=nova
            )
            progress.advance(task)

    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console) as progress:
        task = progress.add_task("Advising", total=len(SYMBOLS))
        async with Supernova(config.model_copy(update={"budgets": (*config.budgets, budget)})) as nova:
            await asyncio.gather(*(one(nova, symbol) for symbol in SYMBOLS))

    actions = Counter(each.action for each in advice.values())
    words = Counter(each.details["source"] for each in advice.values())
    cost = sum((each.details["cost"] for each in advice.values()), Decimal(0))
    surest = sorted(advice.items(), key=lambda item: -item[1].confidence)[:5]
    console.print("Actions:", ", ".join(f"{count} {action}" for action, count in actions.most_common()))
    console.print("Sources of the text:", ", ".join(f"{count} {source}" for source, count in words.items()))
    console.print(f"Cost: ${cost} of ${LIMIT}")
    for symbol, each in surest:
        console.print(f"  {symbol} {each.action} ({each.confidence:.2f})")


if __name__ == "__main__":
    asyncio.run(main())
