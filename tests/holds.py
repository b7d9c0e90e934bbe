"""Holds without a provider: entries of attempts, and the ways in which their holds end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from peewee import Database

from supernova_ai.errors import StoreError
from supernova_ai.ledger import Batch, End, Entry, Hold, Ledger, batch_in, holds, lost_end
from supernova_ai.ledger.rollups import AMOUNTS, EndedAttempt
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.types import CostBasis, Usage
from tests.waiting import comes_true

CENT = to_nano("0.01")

OpenLedger = Callable[..., Ledger]
Take = Callable[..., Hold]
Windows = Callable[[], dict[tuple[str, str, str], tuple[Decimal, ...]]]
"""The fixtures ``open_ledger``, ``take`` and ``windows``."""

_USUAL: dict[str, Any] = {
    "request": "request",
    "process": "",
    "user_id": None,
    "session_id": None,
    "task": "chat",
    "tier": "standard",
    "provider": "openai",
    "model": "gpt",
    "key_slot": "primary",
    "prompt_name": None,
    "prompt_hash": None,
    "config_version": "c",
    "price_version": "p",
}


def entry(name: str, amount: int, now_ms: int, **given: Any) -> Entry:
    """Return an entry of this many nano-USD, with defaults for the other columns."""
    own: dict[str, Any] = {"id": name, "held_nano": amount, "started_ms": now_ms}
    return Entry(**_USUAL | own | given)


def ended_attempt(cost: int, started_ms: int, **given: Any) -> EndedAttempt:
    """Return what rollups count of an attempt that was settled at this many nano-USD."""
    columns: dict[str, Any] = dict.fromkeys(EndedAttempt._fields) | dict.fromkeys(AMOUNTS, 0)
    columns |= {name: value for name, value in _USUAL.items() if name in columns}
    columns |= {"started_ms": started_ms, "state": "settled", "cost_nano": cost, "cost_basis": "exact"}
    columns |= {"prompt_tokens": 3, "completion_tokens": 4, "latency_ms": 700, "first_token_ms": 90}
    return EndedAttempt(**columns | given)


def money(*usd: str) -> tuple[Decimal, ...]:
    """Return the amounts as numbers."""
    return tuple(map(Decimal, usd))


def settle(
    ledger: Ledger,
    hold: Hold,
    usd: str,
    basis: CostBasis = "exact",
    usage: Usage = Usage(),  # noqa: B008 - frozen
    **given: Any,
) -> Hold:
    """Settle the hold at this many USD."""
    end = End("settled", to_nano(usd), basis, usage, ledger.now_ms(), **given)
    assert ledger.end(hold, end).result()
    return hold


def release(ledger: Ledger, hold: Hold) -> Hold:
    """Release the hold of an attempt that the provider refused."""
    end = End("released", 0, None, Usage(), ledger.now_ms(), error="RateLimited")
    assert ledger.end(hold, end).result()
    return hold


def lose(ledger: Ledger, hold: Hold, error: str = "Timeout") -> Hold:
    """Mark the hold as lost."""
    assert ledger.end(hold, lost_end(hold, ended_ms=ledger.now_ms(), error=error)).result()
    return hold


def insert_hold(database: Database, entry: Entry, *, now_ms: int) -> Hold:
    """Insert an attempt that counts in no window, inside an operation of the store."""
    with batch_in(database) as batch:
        return holds.insert_hold(batch, entry, (), now_ms=now_ms)


def end_hold(database: Database, hold: Hold, end: End) -> bool:
    """End the hold inside an operation of the store."""
    with batch_in(database) as batch:
        return holds.end_hold(batch, hold, end) is not None


def place_hold(ledger: Ledger, name: str, amount: int, **given: Any) -> Callable[[Batch], Hold]:
    """The operation that takes such a hold."""
    return lambda batch: ledger.hold(batch, entry(name, amount, ledger.now_ms(), **given))


def settled(cost: int, now_ms: int) -> End:
    """The end of an attempt that cost so many nano-USD."""
    return End("settled", cost, "exact", Usage(prompt=100, completion=20), now_ms, latency_ms=cost % 1000)


def take(ledger: Ledger, name: str, amount: int = CENT, **given: Any) -> Future[Hold]:
    """Ask for such a hold."""
    return ledger.write(place_hold(ledger, name, amount, **given))


class Paused:
    """An operation that takes a hold and stays in its transaction until it may go on."""

    def __init__(self, ledger: Ledger, name: str, amount: int = CENT, **given: Any) -> None:
        self._place = place_hold(ledger, name, amount, **given)
        self._inside, self.go_on = threading.Event(), threading.Event()
        self.future = ledger.write(self)
        assert self._inside.wait(60)

    def __call__(self, batch: Batch) -> Hold:
        hold = self._place(batch)
        self._inside.set()
        assert self.go_on.wait(60)
        return hold


def wait_for_lock(store: Store, transactions: int = 1) -> None:
    """Wait until so many transactions wait for others."""
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"

    def count(database: Any) -> int:
        return int(database.execute_sql(blocked).fetchone()[0])

    assert comes_true(lambda: store.read(count) >= transactions)


@contextmanager
def cut_off(ledger: Ledger, name: str) -> Iterator[None]:
    """Cut the connection while the server writes this hold, which is committed when the block has ended.

    What the block asks for must wait until then.
    """
    connection: Any = ledger.store.write(lambda database: database.connection()).result(60)
    with psycopg.connect(ledger.store.where) as other:
        other.execute("LOCK TABLE attempt IN SHARE MODE")  # its rows can be read and locked, but not written
        hold = take(ledger, name)
        wait_for_lock(ledger.store)
        with socket.socket(fileno=os.dup(connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)
        with pytest.raises(StoreError):
            hold.result(60)
        yield
        wait_for_lock(ledger.store, 2)
