"""docs/metrics.md lists the metrics."""

from __future__ import annotations

import re
from pathlib import Path

from supernova_ai.metrics.catalog import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_lists_every_metric() -> None:
    """The table has each metric with its type, labels and meaning, in order, and no other."""
    rows = re.findall(r"^\| `(supernova_\w+)` \| (\w+) \| (.*?)\| (.*) \|$", PAGE, re.MULTILINE)
    listed = [
        (name, kind, help_, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, help_ in rows
    ]
    assert listed == list(METRICS)
