"""The store, the master and the vault of the tests of keys: the chain is written through a vault."""

from __future__ import annotations

from tests.keys.conftest import master, store, vault

__all__ = ["master", "store", "vault"]
