"""CI fails on a known advisory, but for those that are excepted with a reason."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / ".ci" / "advisories.py"))


def report(**found: Any) -> dict[str, Any]:
    usual = {"id": "PYSEC-1", "aliases": [], "fix_versions": []}
    return {"dependencies": [{"name": "p", "version": "1", "vulns": [usual | found]}]}


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (
            {"id": "PYSEC-2", "aliases": ["CVE-2025-69872"]},
            "p 1: CVE-2025-69872, PYSEC-2; fixed in no version",
        ),
        ({"fix_versions": ["2", "3"]}, "p 1: PYSEC-1; fixed in 2, 3"),
        ({"aliases": ["CVE-2026-42208"]}, None),
        ({"id": "CVE-2026-12772"}, None),
    ],
)
def test_findings_fail_but_for_the_exceptions(found: dict[str, Any], shown: str | None) -> None:
    """An exception counts under whichever name the advisory has."""
    assert SCRIPT["judge"](report(**found)) == ([shown] if shown else [], [])


def test_what_nobody_could_check_is_named() -> None:
    """A package without advisories to be had is no finding, and is not counted as checked."""
    skipped = {"dependencies": [{"name": "p", "skip_reason": "Dependency not found on PyPI"}]}
    assert SCRIPT["judge"](skipped) == ([], ["p"])


def test_exceptions_are_documented() -> None:
    """Every exception is in docs/dependencies.md."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in SCRIPT["EXCEPTIONS"] if name not in text] == []
