from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the other cores do the rest meanwhile."""
    items.sort(key=lambda item: item.path.stem != "test_chaos")
