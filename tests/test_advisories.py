"""CI fails on a known advisory, except for those that are listed with a reason."""

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
def test_findings_fail_except_for_the_listed_ones(found: dict[str, Any], shown: str | None) -> None:
    """An exception applies under the advisory's id and under each of its aliases."""
    assert SCRIPT["judge"](report(**found)) == ([shown] if shown else [], [])


def test_unchecked_package_is_named() -> None:
    """A package that could not be checked is no finding, and is reported as unchecked."""
    skipped = {"dependencies": [{"name": "p", "skip_reason": "Dependency not found on PyPI"}]}
    assert SCRIPT["judge"](skipped) == ([], ["p"])


def test_exceptions_are_documented() -> None:
    """Every exception is in docs/dependencies.md."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in SCRIPT["EXCEPTIONS"] if name not in text] == []
