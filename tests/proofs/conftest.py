from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def where(new_database: Callable[[], str]) -> str:
    """The path or URL of an empty database: every proof that uses it is made on both engines."""
    return new_database()
