"""One process at a time leads, and one that was replaced writes nothing."""

from __future__ import annotations

import pytest

from supernova_ai.operations.jobs.leader import Leader, LeaseLost, current_holder
from supernova_ai.store import Store
from supernova_ai.store.tables import MetaRow

NO_TIME = -0.001  # a lease of this term has run out when it is taken


def leading(store: Store) -> str | None:
    holder = store.read(current_holder)
    return holder.name if holder else None


def names(store: Store) -> list[str]:
    return store.read(lambda database: [row.name for row in MetaRow.select().execute(database)])


def test_the_first_leads(store: Store) -> None:
    """Only one of two processes gets the lease, and it is named."""
    first, second = Leader(store), Leader(store)
    assert first.claim() is not None
    assert second.claim() is None
    assert leading(store) == first.holder


def test_renewing_keeps_the_fence(store: Store) -> None:
    """The fence grows with each new holder only."""
    first = Leader(store, term_s=NO_TIME)
    fences = [lead.fence for lead in (first.claim(), first.claim()) if lead]
    second = Leader(store, term_s=NO_TIME).claim()
    third = first.claim()
    assert second
    assert third
    assert [*fences, second.fence, third.fence] == [1, 1, 2, 3]


def test_a_released_lease_is_free_at_once(store: Store) -> None:
    """After a clean stop another process leads without waiting, and until then none does."""
    first, second = Leader(store), Leader(store)
    first.claim()
    first.release()
    assert store.read(current_holder) is None
    assert second.claim() is not None
    first.release()  # it is not its lease any more
    assert leading(store) == second.holder


def test_a_replaced_leader_writes_nothing(store: Store) -> None:
    """A write under an old fence is undone as a whole; under the current one it stays."""
    stalled = Leader(store, term_s=NO_TIME).claim()
    current = Leader(store).claim()
    assert stalled
    assert current
    with pytest.raises(LeaseLost):
        store.guarded(stalled.check).write(
            lambda database: MetaRow.insert(name="stalled", value="").execute(database)
        ).result()
    store.guarded(current.check).write(
        lambda database: MetaRow.insert(name="current", value="").execute(database)
    ).result()
    assert "stalled" not in names(store)
    assert "current" in names(store)


def test_the_clock_is_the_databases(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour fast takes no lease away, and is given the database's time."""
    monkeypatch.setattr("time.time", lambda: 4e9)
    first = Leader(store).claim()
    assert first
    assert Leader(store).claim() is None
    assert first.now_ms < 3.9e12
