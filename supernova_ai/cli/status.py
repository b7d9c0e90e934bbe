"""``supernova status``: providers, requests, money, alerts and jobs on one screen, once or kept current."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from supernova_ai.cli.cost_options import in_usd
from supernova_ai.cli.health import ticks
from supernova_ai.cli.options import AsJson, ConfigPath, console, flag, load, print_json
from supernova_ai.config import Loaded, read_environ
from supernova_ai.money import to_usd
from supernova_ai.operations.status import Status, read_status
from supernova_ai.store import ReadOnlyStore
from supernova_ai.terminal.status_page import StatusPage

_SUBJECTS = 3
"""Where each user, team or value of a tag has a window of a budget, so many are shown: the most used."""


def status(
    config: ConfigPath = None,
    watch: Annotated[bool, flag("--watch", "-w", help="Refresh it until Ctrl-C.")] = False,
    every: Annotated[int, typer.Option(min=1, max=3600, help="With --watch: seconds between refreshes.")] = 2,
    json: AsJson = False,
) -> None:
    """Show providers, requests, money, alerts, jobs, and what needs a person, on one screen."""
    if watch and json:
        raise typer.BadParameter("--watch draws a page: leave out --json, or --watch")
    read = _reader(load(config))
    if json:
        print_json(_json(read()))
    elif watch:
        console.animate(StatusPage(read()) for _ in ticks(every))
    else:
        console.print(StatusPage(read()))


def _reader(loaded: Loaded) -> Callable[[], Status]:
    """Return what reads the status from the configured database."""
    store, environ = ReadOnlyStore(loaded.database), read_environ()
    zone = ZoneInfo(loaded.config.jobs.time_zone)

    def read() -> Status:
        return store.read(
            lambda database: read_status(
                database,
                loaded.config,
                environ,
                now=datetime.fromtimestamp(store.now(), zone),
                subjects=_SUBJECTS,
            )
        )

    return read


def _json(found: Status) -> dict[str, Any]:
    """Return the status as docs/cli.md describes it."""
    upcoming = found.next_job
    return {
        "at": found.at,
        "environment": found.environment,
        "providers": [
            {
                "provider": provider.name,
                "state": provider.state,
                "deployments": [
                    asdict(row) | {"state": state, "success_rate": row.success_rate}
                    for row, state in provider.deployments
                ],
            }
            for provider in found.providers
        ],
        "minutes": found.minutes,
        "spent": {per: to_usd(amount) for per, amount in found.spent.items()},
        "lost": to_usd(found.lost),
        "budgets": [in_usd(row, ("limit", "settled", "held", "lost")) for row in found.budgets],
        "held": {
            "count": found.held.count,
            "amount": to_usd(found.held.amount),
            "largest": [hold._asdict() | {"amount": to_usd(hold.amount)} for hold in found.held.largest],
        },
        "alerts": [{"id": event.id, "at": event.at, **event.message()._asdict()} for event in found.alerts],
        "leader": found.jobs.leader,
        "next_job": {"name": upcoming.name, "at": upcoming.next} if upcoming else None,
        "findings": [
            {"severity": it.severity, "text": it.text, "remedy": it.remedy} for it in found.findings
        ],
    }
