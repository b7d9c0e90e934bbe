"""``supernova feedback``: keep what users think of answers, list it, and report it beside the costs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import typer

from supernova_ai import ratings
from supernova_ai.cli.cost_options import open_ledger
from supernova_ai.cli.options import (
    AsJson,
    ConfigPath,
    console,
    limit_option,
    load,
    print_json,
    search_option,
    since_option,
    vault_for,
)
from supernova_ai.money import to_usd
from supernova_ai.ratings import Feedback
from supernova_ai.reports.periods import Period
from supernova_ai.reports.rated import By, RatedLine, rated_lines
from supernova_ai.store import Store
from supernova_ai.terminal import feedback_tables

app = typer.Typer(
    help="Keep what users think of answers, list it, or report it beside the costs.", no_args_is_help=True
)


# Without this setting, a score such as -0.5 would be an unknown option.
@app.command(context_settings={"ignore_unknown_options": True})
def add(
    request_id: Annotated[str, typer.Argument(help="The request_id of the reply.")],
    score: Annotated[str, typer.Argument(help="up, down, or a number from -1 to 1.")],
    comment: Annotated[str | None, typer.Option(help="The user's words, which are stored encrypted.")] = None,
    config: ConfigPath = None,
) -> None:
    """Keep what a user thinks of an answer, in place of earlier feedback on the same request."""
    given = Feedback.of(request_id, _number(score), comment)
    with Store(load(config).database) as store:
        replaced = ratings.give(vault_for(store), given)
    typer.echo(f"feedback on {request_id} {'replaced' if replaced else 'kept'}: {given.score:+g}")


@app.command("list")
def list_(
    config: ConfigPath = None,
    user: Annotated[str | None, search_option("--user", "-u", help="Only this user's.")] = None,
    since: Annotated[datetime | None, since_option("Only what was given since then, in UTC.", "all")] = None,
    limit: Annotated[int, limit_option("How many.")] = 20,
    json: AsJson = False,
) -> None:
    """List feedback, the latest first, with comments decrypted by the master key."""
    since_ms = int(since.timestamp() * 1000) if since else 0
    with Store(load(config).database) as store:
        found = ratings.latest(vault_for(store), limit=limit, since_ms=since_ms, user=user)
    if json:
        print_json(found)
    elif found:
        console.print(feedback_tables.latest(found))
    else:
        typer.echo("no feedback")


@app.command()
def report(
    config: ConfigPath = None,
    by: Annotated[By, typer.Option(help="Show one line per group.")] = "model",
    since: Annotated[
        datetime | None, since_option("Only requests sent since then, in UTC.", "30 days back")
    ] = None,
    limit: Annotated[int, limit_option("How many the table shows.")] = 20,
    json: AsJson = False,
) -> None:
    """Show attempts, costs, the mean quality and the mean feedback per group, highest cost first."""
    with open_ledger(config) as (_, store):
        now = datetime.fromtimestamp(store.now(), UTC)
        period = Period("", since or now - timedelta(days=30), now)
        found = store.read(partial(rated_lines, period=period, by=by))
    if json:
        print_json([_jsonable(line) for line in found])
    elif not found:
        typer.echo(f"no attempts since {period.start:%Y-%m-%d %H:%M} UTC")
    else:
        title = f"By {by}, since {period.start:%Y-%m-%d %H:%M} UTC"
        console.print(feedback_tables.report(title, found[:limit]))
        if len(found) > limit:
            typer.echo(f"\nand {len(found) - limit:,} more: see them with --limit {len(found)}, or --json")


def _number(score: str) -> float | str:
    try:
        return float(score)
    except ValueError:
        return score


def _jsonable(line: RatedLine) -> dict[str, Any]:
    plain = asdict(line)
    return plain | {"cost_usd": to_usd(plain.pop("cost"))}
