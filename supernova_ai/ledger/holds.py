"""Holds: money reserved before an attempt is sent. Each hold ends exactly once.

    held ──settle──▶ settled    the cost is known: exactly, or estimated from what was received
      ├───release──▶ released   nothing was spent: the provider refused, or was never reached
      └───lose─────▶ lost       the cost is unknown; the whole hold stays counted …
                       └─▶ settled, released   … unless the cost is learnt late

Everything here runs inside one transaction of the writer, in a ``Batch``. The statements are plain SQL that
both SQLite and PostgreSQL accept: a hold is taken on every attempt, and a query builder would double what
that costs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

from peewee import Database

from supernova_ai.errors import BudgetExceeded
from supernova_ai.ledger import rollups
from supernova_ai.ledger.batch import Batch
from supernova_ai.ledger.budgets import BudgetWindow
from supernova_ai.ledger.opening_balances import Spending, WindowScope
from supernova_ai.ledger.slices import Spent
from supernova_ai.money import to_usd
from supernova_ai.store.bulk import marks, run
from supernova_ai.types import CostBasis, FailurePattern, Outcome, Usage


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an attempt before it is sent: the columns of its row.

    ``held_nano`` is the hold. ``tags`` are JSON, as ``labels.to_text`` writes them.
    """

    id: str
    request: str
    process: str
    user_id: str | None
    session_id: str | None
    task: str
    tier: str
    provider: str
    model: str
    key_slot: str | None
    held_nano: int
    started_ms: int
    prompt_name: str | None
    prompt_hash: str | None
    config_version: str
    price_version: str
    max_tokens: int | None = None
    address: str | None = None
    environment: str | None = None
    key_version: int | None = None
    team: str | None = None
    tags: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An open hold: the attempt, the amount in nano-USD, and the ids of the windows that counted it first."""

    attempt: str
    amount: int
    windows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. The cost is nano-USD; times are milliseconds, ``ended_ms`` since the epoch.

    ``response`` is the provider's own id of its answer. ``saved`` is what the provider's prompt cache took
    off the cost, in nano-USD; it is below 0 if writing to the cache cost more.
    """

    state: Outcome
    cost: int
    basis: CostBasis | None
    usage: Usage
    ended_ms: int
    latency_ms: int | None = None
    first_token_ms: int | None = None
    error: str | None = None
    response: str | None = None
    failure: FailurePattern | None = None
    saved: int = 0


_NEW_ROW = dict.fromkeys((*rollups.AMOUNTS, "late"), 0)
_ENTRY = tuple(field.name for field in fields(Entry))
_COLUMNS = (*_ENTRY, "windows", "state", *_NEW_ROW)
_INSERT = f"INSERT INTO attempt ({', '.join(_COLUMNS)}) VALUES ({marks(len(_COLUMNS))})"  # noqa: S608
_values_of = attrgetter(*_ENTRY)
_END = (
    "UPDATE attempt SET state = ?, cost_nano = ?, saved_nano = ?, cost_basis = ?, "
    "prompt_tokens = ?, completion_tokens = ?, cached_tokens = ?, cache_write_tokens = ?, "
    "reasoning_tokens = ?, ended_ms = ?, late = late | ?, response_id = COALESCE(?, response_id), "
    "latency_ms = COALESCE(?, latency_ms), first_token_ms = COALESCE(?, first_token_ms), "
    "fingerprint = COALESCE(?, fingerprint), error_class = ? WHERE id = ? AND state = ?"
)

_AMOUNTS = (
    "SELECT settled_nano + settled, held_nano - settled - lost, lost_nano + lost FROM ("
    "SELECT whole.settled_nano, whole.held_nano, whole.lost_nano, "
    "CAST(COALESCE(SUM(part.settled_nano), 0) AS BIGINT) AS settled, "
    "CAST(COALESCE(SUM(part.lost_nano), 0) AS BIGINT) AS lost "
    "FROM budget_window whole LEFT JOIN window_slice part ON part.window_id = whole.id "
    "WHERE budget = ? AND subject = ? AND period = ? AND scope = ? GROUP BY whole.id) sums"
)


def insert_hold(batch: Batch, entry: Entry, windows: Iterable[BudgetWindow], *, now_ms: int) -> Hold:
    """Reserve the entry's amount in every window, or in none, and insert the attempt's row.

    Args:
        now_ms: Unix milliseconds, read inside the operation: when a window opens, it counts what has ended
            until then.

    Raises:
        BudgetExceeded: the amount does not fit in a window; nothing is changed.
    """
    amount, windows = entry.held_nano, list(windows)
    for window in windows:
        if not batch.has_room(window, amount):
            settled, held, lost = batch.amounts(window)
            raise BudgetExceeded(
                budget=window.budget,
                covers=window.covers,
                spent=to_usd(settled + lost),
                held=to_usd(held),
                limit=to_usd(window.limit),
                needed=to_usd(amount),
                resets_at=window.resets_at,
            )
    reserved = tuple(batch.open(window, now_ms=now_ms) for window in windows)
    batch.add(reserved, {"held": amount})
    batch.write(entry.id, _INSERT, *_values_of(entry), json.dumps(reserved), "held", *_NEW_ROW.values())
    return Hold(entry.id, amount, reserved)


def remaining(database: Database, window: BudgetWindow) -> int:
    """Return the part of the window's limit that is not used, in nano-USD; below 0 after an overrun."""
    return window.limit - sum(window_amounts(database, window))


def window_amounts(database: Database, window: BudgetWindow) -> tuple[int, int, int]:
    """Return the nano-USD settled, held and lost in the window, or with which it would open now.

    What slices have left counts as held.
    """
    found = run(database, _AMOUNTS, *window.key).fetchone()
    if found:
        return tuple(found)
    spent = Spending.of(database, WindowScope.of(window))
    return spent.settled, spent.held, spent.lost


def end_hold(batch: Batch, hold: Hold, end: End, *, was: Outcome = "held") -> list[Spent] | None:
    """End the hold: take its amount out of its windows, count the end's cost and add it to the rollups.

    Args:
        hold: its amount is what its windows count for it now. The windows are read from the attempt's row: a
            window that was opened later may be among them.
        was: the state the attempt must still be in: "lost" to count a cost that is learnt late, "settled" or
            "released" to correct one.

    Returns:
        What is spent in the hold's windows now, or None if the attempt is in another state and nothing
        changed.
    """
    attempt = batch.attempt(hold.attempt)
    if attempt is None or attempt.row.state != was:
        return None
    batch.write(
        hold.attempt,
        _END,
        end.state,
        end.cost,
        end.saved,
        end.basis,
        end.usage.prompt,
        end.usage.completion,
        end.usage.cached,
        end.usage.cache_write,
        end.usage.reasoning,
        end.ended_ms,
        int(was == "lost"),
        end.response,
        end.latency_ms,
        end.first_token_ms,
        end.failure.fingerprint if end.failure else None,
        end.error,
        hold.attempt,
        was,
    )
    before = attempt.row
    ended = before._replace(
        state=end.state,
        cost_nano=end.cost,
        saved_nano=end.saved,
        cost_basis=end.basis,
        prompt_tokens=end.usage.prompt,
        completion_tokens=end.usage.completion,
        cached_tokens=end.usage.cached,
        cache_write_tokens=end.usage.cache_write,
        reasoning_tokens=end.usage.reasoning,
        latency_ms=before.latency_ms if end.latency_ms is None else end.latency_ms,
        first_token_ms=before.first_token_ms if end.first_token_ms is None else end.first_token_ms,
        error_class=end.error,
    )
    batch.keep(hold.attempt, ended)
    if was != "held":
        batch.count(before, times=-1)
    batch.count(ended)
    if end.failure:
        batch.count_failure(end.failure, ended, at_ms=end.ended_ms)
    change: Counter[Outcome] = Counter({was: -hold.amount})
    change[end.state] += end.cost  # a correction may keep the state: the old and the new cost then add up
    return batch.add(attempt.windows, change)


def lost_end(hold: Hold, *, ended_ms: int, error: str | None) -> End:
    """Return the end of a hold whose cost is unknown: the whole hold stays counted."""
    return End("lost", hold.amount, "bound", Usage(), ended_ms, error=error)
