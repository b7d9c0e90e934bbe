"""The ``meta`` table holds one value per name."""

from __future__ import annotations

from supernova_ai.store import Store, get_meta, set_meta, set_meta_default


def test_a_set_value_replaces_and_a_default_does_not(store: Store) -> None:
    """``set_meta`` replaces the stored value; ``set_meta_default`` keeps and returns it."""
    assert store.read(lambda database: get_meta(database, "colour")) is None
    assert store.write(lambda database: set_meta_default(database, "colour", "red")).result() == "red"
    assert store.write(lambda database: set_meta_default(database, "colour", "blue")).result() == "red"
    store.write(lambda database: set_meta(database, "colour", "green")).result()
    store.write(lambda database: set_meta(database, "shape", "round")).result()
    assert store.read(lambda database: [get_meta(database, name) for name in ("colour", "shape")]) == [
        "green",
        "round",
    ]
