"""``supernova chat``, ``analyze`` and ``demo``: the commands that need a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai.cli.options import AsJson, ConfigPath, flag, models, print_json, read_text
from supernova_ai.client import Supernova
from supernova_ai.money import show
from supernova_ai.terminal.output import Terminal
from supernova_ai.types import Complexity, Reply, Tier

User = Annotated[str | None, typer.Option("--user", "-u", help="Whose budget it counts to.")]
TierName = Annotated[Tier | None, typer.Option("--tier", "-t", help="Otherwise the tier of the task.")]
Hardness = Annotated[
    Complexity | None,
    typer.Option("--complexity", help="Instead of a tier; auto estimates it from the text."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", autocompletion=models, help="This configured model and no other."),
]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="The longest answer, in tokens.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds, for everything.")]
MaxCost = Annotated[str | None, typer.Option("--max-cost", help="USD, for everything.")]
Session = Annotated[str | None, typer.Option("--session", "-s", help="Which conversation it belongs to.")]
Attach = Annotated[
    list[str] | None, typer.Option("--attach", "-A", help="An image or a PDF; may be repeated.")
]


def chat(
    message: Annotated[str, typer.Argument(help="What to answer; - reads it from standard input.")],
    config: ConfigPath = None,
    user: User = None,
    tier: TierName = None,
    complexity: Hardness = None,
    task: Annotated[str, typer.Option(help="chat, analysis, summary or one of your own.")] = "chat",
    model: Model = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = None,
    max_cost: MaxCost = None,
    session: Session = None,
    attach: Attach = None,
    json: AsJson = False,
) -> None:
    """Answer a message, its text to standard output as it comes."""
    text = read_text(None) if message == "-" else message
    options = _options(user, tier, complexity, model, max_tokens, timeout, max_cost)
    options |= {"task": task, "session_id": session, "attachments": attach or []}
    _show(asyncio.run(_ask(Supernova.chat, config, text, options, json)), json)


def analyze(
    file: Annotated[str, typer.Argument(help="A text file; - reads standard input.")],
    config: ConfigPath = None,
    type: Annotated[str, typer.Option(help="financial, sentiment, news, risk or summary.")] = "financial",  # noqa: A002
    user: User = None,
    tier: TierName = None,
    complexity: Hardness = None,
    model: Model = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = None,
    max_cost: MaxCost = None,
    attach: Attach = None,
    json: AsJson = False,
) -> None:
    """Analyse a text; it is treated as material, never as instructions."""
    text = read_text(None if file == "-" else Path(file))
    options = _options(user, tier, complexity, model, max_tokens, timeout, max_cost)
    options |= {"analysis_type": type, "attachments": attach or []}
    _show(asyncio.run(_ask(Supernova.analyze, config, text, options, json)), json)


def demo(
    outage: Annotated[
        bool, flag("--outage", help="Show a provider going down and coming back instead.")
    ] = False,
) -> None:
    """Show everything at work on this machine: a real model, a failover, a refusal, the ledger."""
    from supernova_ai.demo import outage as crisis
    from supernova_ai.demo import tour as show_case

    (crisis if outage else show_case).run(Terminal(markup=True))


async def _ask(
    method: Callable[..., Awaitable[Reply]],
    config: Path | None,
    text: str,
    options: dict[str, Any],
    json: bool,
) -> Reply:
    async with Supernova(config) as nova:
        return await method(nova, text, on_token=None if json else _print, **options)


def _options(
    user: str | None,
    tier: Tier | None,
    complexity: Complexity | None,
    model: str | None,
    max_tokens: int | None,
    timeout: float | None,
    max_cost: str | None,
) -> dict[str, Any]:
    return {
        "user_id": user,
        "tier": tier,
        "complexity": complexity,
        "model": model,
        "max_tokens": max_tokens,
        "timeout": timeout,
        "max_cost": max_cost,
    }


def _print(token: str) -> None:
    typer.echo(token, nl=False)


def _show(reply: Reply, json: bool) -> None:
    if json:
        print_json(reply)
        return
    typer.echo("" if reply.content else reply.refusal)
    attempts = "1 attempt" if len(reply.attempts) == 1 else f"{len(reply.attempts)} attempts"
    Terminal(stderr=True).print(
        f"{reply.provider}/{reply.model} · {reply.tier} ({reply.tier_reason}) · {attempts} · "
        f"{reply.usage.prompt}+{reply.usage.completion} tokens · {show(reply.cost)} ({reply.cost_basis}) · "
        f"{reply.latency_s:.2f} s",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
