"""The demo: a real model on this machine, asked through the whole package, in a temporary folder."""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from math import exp
from pathlib import Path

from supernova_ai.advisor.advise import aadvise
from supernova_ai.advisor.view import AdviceView
from supernova_ai.client import Supernova
from supernova_ai.config import Config
from supernova_ai.demo.local_model import LocalModel
from supernova_ai.errors import BudgetExceeded
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.money import show
from supernova_ai.reports import breakdown, status
from supernova_ai.reports.periods import Period
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.terminal import cost_tables, inventory_tables
from supernova_ai.terminal.advice_page import page
from supernova_ai.terminal.output import Terminal
from supernova_ai.types import Reply

_QUESTION = "In two sentences, why do investors diversify?"
_PARAGRAPH = (
    "Acme Corp reported quarterly revenue of $1.2 billion, up 8 % on the year, while operating costs rose "
    "15 %. The company kept its full-year guidance and announced a $200 million share buyback."
)


def run(console: Terminal) -> None:
    """Show an answer, an analysis, a refused request, advice, and their attempts in the ledger.

    Raises:
        ExtraMissing: the ``local`` extra is not installed.
    """
    key = f"sk-demo-{secrets.token_hex(16)}"
    console.print("[bold]SuperNova AI demo[/] — a real model on this machine; nothing is kept.")
    with (
        tempfile.TemporaryDirectory(prefix="supernova-demo-") as folder,
        LocalModel(api_keys=[key]) as model,
    ):
        config = _config(Path(folder), model)
        master = MasterKey.of(secrets.token_bytes(32))
        with Store(str(config.database)) as store:
            vault = Vault(store, master)
            # The first provider is down, so its key is never used; the second is the local model.
            vault.add("anthropic", "primary", Secret("sk-ant-" + secrets.token_hex(16)))
            vault.add("openai", "primary", Secret(key))
            console.print(inventory_tables.keys(vault.list()))
            console.print(
                "\nThe keys are encrypted in the database; each is decrypted for one attempt only.\n"
            )
        console.print("[dim]Loading LiteLLM takes a few seconds …[/]\n")
        asyncio.run(_talk(config, master, console))
        with Store(str(config.database)) as store:
            console.print(cost_tables.attempts(store.read(lambda db: status.latest_attempts(db, limit=20))))
            now = datetime.now(UTC)
            today = Period("", now - timedelta(days=1), now)
            models = store.read(lambda db: breakdown.lines(db, today, "model"))
            console.print(
                cost_tables.report("By provider and model", [(row.name, "", row) for row in models])
            )


async def _talk(config: Config, master: MasterKey, console: Terminal) -> None:
    async with Supernova(config, master=master) as nova:
        await nova.warm_up()
        console.print(f"[bold cyan]chat[/] {_QUESTION}")
        async with nova.stream(_QUESTION, user_id="demo", max_tokens=80) as tokens:
            async for token in tokens:
                console.print(token, end="", markup=False, highlight=False)
        console.print(_footer(tokens.reply))

        console.print(f"[bold cyan]analyze[/] {_PARAGRAPH}")
        reply = await nova.analyze(_PARAGRAPH, analysis_type="summary", user_id="demo", max_tokens=80)
        console.print(reply.content, markup=False, highlight=False)
        console.print(_footer(reply))

        console.print(
            "[bold cyan]chat[/] the same question for a user whose budget is one thousandth of a cent"
        )
        try:
            await nova.chat(_QUESTION, user_id="thrifty", max_tokens=80)
        except BudgetExceeded as refusal:
            console.print(f"[yellow]refused, nothing was sent:[/] {refusal}", highlight=False)

        console.print("\n[bold cyan]advise[/] on a year of made-up prices, for a bold client")
        # The model is not asked: so small a one writes nothing that passes the check of its figures.
        advice = await aadvise(_bars(), symbol="ACME", risk_score=75, explain=False, client=nova)
        console.print(page(AdviceView.from_advice(advice)))


def _bars() -> list[list[float]]:
    """Return a year of invented daily bars, always the same: a random walk with an upward drift."""
    rng = random.Random(7)  # noqa: S311 - prices, not secrets
    day_ms, close, bars = 86_400_000, 100.0, []
    for day in range(260):
        start, close = close, close * exp(rng.gauss(0.0012, 0.012))
        high, low = max(start, close) * 1.004, min(start, close) * 0.996
        bars.append([1_735_689_600_000 + day * day_ms, start, high, low, close, 1e6 * rng.uniform(0.7, 1.4)])
    return bars


def _config(folder: Path, model: LocalModel) -> Config:
    tiers = ("economy", "standard", "premium")
    prices = {model.name: {"input": "0.15", "output": "0.60"}}
    return Config.model_validate(
        {
            "database": str(folder / "demo.db"),
            "providers": {
                "anthropic": {  # a port on which nothing listens
                    "api_base": "http://127.0.0.1:9",
                    "models": dict.fromkeys(tiers, "claude-sonnet-5-5"),
                    "keys": ["primary"],
                },
                "openai": {
                    "api_base": f"{model.url}/v1",
                    "models": dict.fromkeys(tiers, model.name),
                    "keys": ["primary"],
                    "prices": prices,
                },
            },
            "routing": {"priority": ["anthropic", "openai"]},
            "budgets": [
                {"name": "daily", "limit": "1.00", "per": "day"},
                {"name": "thrifty", "limit": "0.00001", "per": "day", "user": "thrifty"},
            ],
        }
    )


def _footer(reply: Reply) -> str:
    failed = [f"{attempt.provider} ({attempt.error})" for attempt in reply.attempts if attempt.error]
    after = f", after {', '.join(failed)}" if failed else ""
    return (
        f"\n[dim]— {reply.provider}/{reply.model}{after}; "
        f"{reply.usage.prompt}+{reply.usage.completion} tokens, "
        f"{show(reply.cost)} ({reply.cost_basis}), {reply.latency_s:.2f} s[/]\n"
    )
