"""Facts of the store are kept by name, one of each."""

from __future__ import annotations

from supernova_ai.store import Store
from supernova_ai.store.facts import fact, first_fact, set_fact


def test_the_latest_or_the_first_is_kept(store: Store) -> None:
    """What is set replaces what was there; what is only the first does not, and says what is there."""
    assert store.read(lambda database: fact(database, "colour")) is None
    assert store.write(lambda database: first_fact(database, "colour", "red")).result() == "red"
    assert store.write(lambda database: first_fact(database, "colour", "blue")).result() == "red"
    store.write(lambda database: set_fact(database, "colour", "green")).result()
    store.write(lambda database: set_fact(database, "shape", "round")).result()
    assert store.read(lambda database: [fact(database, name) for name in ("colour", "shape")]) == [
        "green",
        "round",
    ]
