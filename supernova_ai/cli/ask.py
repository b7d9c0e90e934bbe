"""``supernova chat``, ``analyze`` and ``demo``: the commands that need a model."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from supernova_ai.characters import counted
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    Tags,
    Team,
    client,
    complete_model,
    flag,
    print_json,
    read_tags,
    read_text,
)
from supernova_ai.client import Supernova
from supernova_ai.money import show
from supernova_ai.terminal.output import Terminal
from supernova_ai.types import Complexity, Reply, Tier

User = Annotated[str | None, typer.Option("--user", "-u", help="The user whose budgets count it.")]
TierName = Annotated[
    Tier | None, typer.Option("--tier", "-t", help="The tier that answers.", show_default="that of the task")
]
ComplexityName = Annotated[
    Complexity | None,
    typer.Option(
        "--complexity", help="How hard the question is, instead of a tier; auto estimates it from the text."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        autocompletion=complete_model,
        help="Ask only this configured model.",
        show_default="any",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", help="The longest answer, in tokens.", show_default="as configured"),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", help="Time limit for the whole call, in seconds.", show_default="routing.deadline"
    ),
]
MaxCost = Annotated[str | None, typer.Option("--max-cost", help="Cost limit for the whole call, in USD.")]
Attachments = Annotated[
    list[str] | None, typer.Option("--attach", "-A", help="Send an image or a PDF file; may be repeated.")
]


def chat(
    message: Annotated[str, typer.Argument(help="The message; - reads it from standard input.")],
    config: ConfigPath = None,
    user: User = None,
    team: Team = None,
    tag: Tags = None,
    tier: TierName = None,
    complexity: ComplexityName = None,
    task: Annotated[str, typer.Option(help="The task: chat, analysis, summary or your own.")] = "chat",
    model: Model = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = None,
    max_cost: MaxCost = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="The conversation it belongs to.")
    ] = None,
    attach: Attachments = None,
    json: AsJson = False,
) -> None:
    """Answer a message and print the text as it arrives."""
    _ask(
        Supernova.chat,
        config,
        read_text(None) if message == "-" else message,
        json,
        user_id=user,
        team=team,
        tags=read_tags(tag),
        tier=tier,
        complexity=complexity,
        task=task,
        model=model,
        max_tokens=max_tokens,
        timeout=timeout,
        max_cost=max_cost,
        session_id=session,
        attachments=attach or [],
    )


def analyze(
    file: Annotated[str, typer.Argument(help="A text file; - reads standard input.")],
    config: ConfigPath = None,
    type: Annotated[  # noqa: A002
        str, typer.Option(help="The analysis: financial, sentiment, news, risk, summary or your own.")
    ] = "financial",
    user: User = None,
    team: Team = None,
    tag: Tags = None,
    tier: TierName = None,
    complexity: ComplexityName = None,
    model: Model = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = None,
    max_cost: MaxCost = None,
    attach: Attachments = None,
    json: AsJson = False,
) -> None:
    """Analyse a text without following any instructions in it."""
    _ask(
        Supernova.analyze,
        config,
        read_text(None if file == "-" else Path(file)),
        json,
        analysis_type=type,
        user_id=user,
        team=team,
        tags=read_tags(tag),
        tier=tier,
        complexity=complexity,
        model=model,
        max_tokens=max_tokens,
        timeout=timeout,
        max_cost=max_cost,
        attachments=attach or [],
    )


def demo(
    outage: Annotated[
        bool, flag("--outage", help="Show instead how a provider fails during an answer and recovers.")
    ] = False,
) -> None:
    """Show a failover, a refusal, advice and the ledger, with a real model on this machine."""
    from supernova_ai.demo import outage as outage_demo
    from supernova_ai.demo import tour

    (outage_demo if outage else tour).run(Terminal(markup=True))


def _ask(
    method: Callable[..., Awaitable[Reply]], config: Path | None, text: str, json: bool, **options: Any
) -> None:
    """Call a method of the client; print its answer as it arrives, or the whole reply as JSON."""
    spinner = Terminal(stderr=True).spinner("Waiting for the model")

    unwritable: list[OSError] = []

    def write(token: str) -> None:
        spinner.stop()
        if unwritable:
            return
        try:
            typer.echo(token, nl=False)
        except OSError as error:
            unwritable.append(error)  # the answer is paid for: read to its end, it costs what it used

    async def call() -> Reply:
        async with client(config) as nova:
            return await method(nova, text, on_token=None if json else write, **options)

    if sys.stderr.isatty() and not json:
        spinner.start(refresh=True)
    try:
        reply = asyncio.run(call())
    finally:
        spinner.stop()
    if unwritable:
        raise unwritable[0]
    if json:
        print_json(reply)
        return
    typer.echo("" if reply.content else reply.refusal)
    Terminal(stderr=True).print(
        f"{reply.provider}/{reply.model} · {reply.tier} ({reply.tier_reason}) · "
        f"{counted(len(reply.attempts), 'attempt')} · "
        f"{reply.usage.prompt}+{reply.usage.completion} tokens · {show(reply.cost)} ({reply.cost_basis}) · "
        f"{reply.latency_s:.2f} s",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
