"""What the checks of ``supernova doctor`` look at: a configuration, a store and its vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.config import Config, Loaded
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.store import Store
from tests.databases import new_file
from tests.keys.conftest import backend, kept

__all__ = ["backend", "kept"]

Look = Callable[..., Subject]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(new_file(tmp_path / "supernova.db")) as opened:
        yield opened


@pytest.fixture
def vault(store: Store) -> Vault:
    return Vault(store, MasterKey.of(bytes(range(32))))


@pytest.fixture
def subject(store: Store, vault: Vault) -> Look:
    """Return the subject with these settings."""

    def make(**settings: Any) -> Subject:
        config = Config.model_validate({"database": store.where, **settings})
        return Subject(Loaded.of(config), None, store, vault, offline=True)

    return make
