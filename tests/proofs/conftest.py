from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_LONGEST = ["test_chaos", "test_kills", "test_cli_demo", "test_examples", "test_canary"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the other cores do the rest meanwhile.

    Proofs go the same ways thousands of times: to trace their lines would take as long again.
    """
    items.sort(key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else 99)
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker("no_cover")
