"""A sample ledger for upkeep: attempts of every kind over several hours and days."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from peewee import Database

from supernova_ai.config import Budget
from supernova_ai.ledger import Batch, End, Entry, Ledger, batch_in, holds, lost_end
from supernova_ai.ledger.slices import Spent
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import AttemptRow, Table
from supernova_ai.types import Usage
from supernova_ai.upkeep import verify
from supernova_ai.upkeep.verify import VerifyReport

BUDGETS = (
    Budget(name="daily", limit=Decimal(1000), per="day"),
    Budget(name="each-user", limit=Decimal(500), per="month", user="*"),
)

DAY_MS = 86_400_000


def fill(
    ledger: Ledger, clock: SimpleNamespace, make_entry: Callable[..., Entry], count: int, seed: int
) -> None:
    """Add this many ended attempts to the ledger at random, one every quarter of an hour."""
    chance = random.Random(seed)

    def operation(database: Database) -> None:  # one transaction for all, which is fast
        with batch_in(database) as batch:
            for _ in range(count):
                clock.now += 900
                _attempt(batch, ledger, make_entry, chance)

    ledger.store.write(operation).result()


def _attempt(batch: Batch, ledger: Ledger, make_entry: Callable[..., Entry], chance: random.Random) -> None:
    entry = make_entry(
        f"0.{chance.randrange(1, 99):02}",
        user_id=chance.choice([None, "ann", "bob"]),
        session_id=chance.choice([None, "s"]),
        model=chance.choice(["gpt", "gpt-mini"]),
        prompt_name=chance.choice([None, "chat"]),
        team=chance.choice([None, "fx"]),
        tags=chance.choice([None, '{"desk":"spot"}', '{"book":"delta","desk":"fx"}']),
    )
    hold = ledger.hold(batch, entry)
    now = ledger.now_ms()
    usage = Usage(prompt=chance.randrange(100), completion=chance.randrange(100), cached=3)
    settled = End(
        "settled",
        chance.randrange(hold.amount),
        chance.choice(["exact", "estimated"]),
        usage,
        now,
        chance.randrange(5000),
        chance.randrange(500),
        saved=chance.randrange(-50, 50),
    )
    kind = chance.choice(["settled", "settled", "cut", "released", "lost", "late"])
    if kind == "released":
        assert holds.end_hold(batch, hold, End("released", 0, None, Usage(), now, error="RateLimited"))
    if kind in ("lost", "late"):
        assert holds.end_hold(batch, hold, lost_end(hold, ended_ms=now, error="Timeout"))
    if kind == "settled":
        assert holds.end_hold(batch, hold, settled)
    if kind == "late":
        assert holds.end_hold(batch, hold, settled, was="lost")
    if kind == "cut":
        assert holds.end_hold(batch, hold, replace(settled, error="StreamInterrupted"))


def rows(store: Store, table: type[Table] = AttemptRow) -> set[bulk.Row]:
    """Read a whole table."""
    return {row for page in store.read(lambda database: list(bulk.pages(database, table))) for row in page}


def report(store: Store, folder: Path | None = None, budgets: Iterable[Budget] = BUDGETS) -> VerifyReport:
    """Verify the ledger; without a folder there are no archives."""
    return verify.verify_ledger(store, tuple(budgets), folder=folder or Path(os.devnull))


def run(store: Store, statement: str, *arguments: Any) -> None:
    """Run SQL past the ledger."""
    store.write(lambda database: bulk.run(database, statement, *arguments)).result()


def unseen(_database: Any, _windows: list[Spent]) -> None:
    """A ``ThresholdCheck`` that records no alert."""
