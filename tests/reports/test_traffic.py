"""What happened in the last minutes, what is held now, and what periods cost, in a small, known ledger."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from supernova_ai.reports import spending, traffic
from supernova_ai.reports.latencies import histograms, percentile, tokens_per_second
from supernova_ai.reports.periods import Period, latest_periods
from supernova_ai.reports.traffic import Held, Minute
from supernova_ai.store import Store
from supernova_ai.store.tables import ProcessRow
from supernova_ai.types import Usage
from tests.holds import OpenLedger, Take, lose, release, settle

USD = 10**9
MINUTE = 60_000


@pytest.fixture
def ledger_now(open_ledger: OpenLedger, take: Take, clock: SimpleNamespace) -> int:
    """Attempts of three minutes before now, two of them of one request; the time in milliseconds."""
    ledger = open_ledger()
    now = clock.now
    clock.now = now - 3 * 3600
    settle(ledger, take(ledger, "4", request="r0"), "2", latency_ms=100, first_token_ms=20)
    clock.now = now - 130
    release(ledger, take(ledger, "1", request="r1"))
    usage = Usage(prompt=10, completion=300)
    settle(ledger, take(ledger, "1", request="r1"), "0.5", usage=usage, latency_ms=2000, first_token_ms=400)
    settle(ledger, take(ledger, "1", request="r2", provider="b"), "0.25", usage=usage, latency_ms=6000)
    clock.now = now - 10
    lose(ledger, take(ledger, "1", request="r3"), "ProviderTimeout")
    take(ledger, "2", request="r4", user_id="ann")
    take(ledger, "3", request="r5", user_id="ben", team="fx")
    clock.now = now
    return int(now * 1000)


def test_minutes(store: Store, ledger_now: int) -> None:
    """Each minute has its requests, its attempts and those that the provider failed, even if it has none."""
    found = store.read(lambda database: traffic.minutes(database, now_ms=ledger_now, count=4))
    assert found == [
        Minute(ledger_now - 3 * MINUTE, 2, 3, 1),
        Minute(ledger_now - 2 * MINUTE, 0, 0, 0),
        Minute(ledger_now - MINUTE, 3, 3, 1),
        Minute(ledger_now, 0, 0, 0),
    ]


def test_held(store: Store, ledger_now: int) -> None:
    """The largest holds come first, with who holds them, and whether their process still has its lease."""
    lease = ProcessRow.update(lease_ms=ledger_now + 1000)
    store.write(lambda database: lease.execute(database)).result()
    count, amount, (ben, ann) = _held(store, ledger_now, 5)
    assert (count, amount) == (2, 5 * USD)
    assert (ben.user, ben.team, ben.amount, ben.alive) == ("ben", "fx", 3 * USD, True)
    assert (ann.user, ann.pid, (ann.host or "").split()[0]) == ("ann", os.getpid(), socket.gethostname())
    assert [hold.user for hold in _held(store, ledger_now, 1)[2]] == ["ben"]
    assert not _held(store, ledger_now + 3_600_000, 1)[2][0].alive
    store.write(lambda database: ProcessRow.delete().execute(database)).result()
    (gone,) = _held(store, ledger_now, 1)[2]
    assert (gone.host, gone.alive) == (None, False)


def _held(store: Store, now_ms: int, most: int) -> tuple[int, int, list[traffic.OpenHold]]:
    found: Held = store.read(lambda database: traffic.held(database, now_ms=now_ms, most=most))
    return found.count, found.amount, found.largest


def test_costs_of_periods(store: Store, ledger_now: int) -> None:
    """The cost of each period, with lost holds; and what of it is lost."""
    now = datetime.fromtimestamp(ledger_now / 1000, UTC)
    days = latest_periods("day", 3, now)
    assert store.read(lambda database: spending.costs(database, days)) == [0, 0, int(3.75 * USD)]
    hours = [Period("", now - timedelta(hours=n + 1), now - timedelta(hours=n)) for n in (3, 2, 1, 0)]
    assert store.read(lambda database: spending.costs(database, hours)) == [0, 2 * USD, 0, int(1.75 * USD)]
    assert store.read(lambda database: spending.lost(database, days[-1])) == (1, USD)
    assert store.read(lambda database: spending.lost(database, days[0])) == (0, 0)


def test_latencies(store: Store, ledger_now: int) -> None:
    """Histograms by step, provider and model; a percentile is within a bucket of the measured one."""
    end = datetime.fromtimestamp(ledger_now / 1000, UTC)
    period = Period("", end - timedelta(hours=4), end)
    found = store.read(lambda database: histograms(database, period, 2))
    assert found.starts == [int(end.timestamp()) - 14_400, int(end.timestamp()) - 7_200]
    assert {key: sum(counts.values()) for key, counts in found.by_step.items()} == {
        ("answer", 0): 1, ("first", 0): 1, ("answer", 1): 2, ("first", 1): 1,
    }  # fmt: skip
    assert sum(found.by_provider["answer", "b", 1].values()) == 1
    for what, provider, measured in (("answer", "b", 6000), ("first", "openai", 400)):
        found_ms = percentile(found.by_provider.get((what, provider, 1)), 50)  # type: ignore[arg-type]
        assert found_ms is not None
        assert measured / 2**0.5 <= found_ms <= measured * 2**0.5
    assert percentile(found.by_step.get(("answer", 7)), 95) is None


def test_tokens_per_second(store: Store, ledger_now: int) -> None:
    """They are over the time of the answers, without attempts that wrote none."""
    found = store.read(lambda database: tokens_per_second(database, since_ms=ledger_now - 3_600_000))
    assert found == {("openai", "gpt"): 150.0, ("b", "gpt"): 50.0}
