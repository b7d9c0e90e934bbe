"""What a check of the installation found, how severe it is, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["ok", "note", "warning", "error"]
"""``ok``: checked and right. ``note``: worth knowing. ``warning``: works, but may not for ever or for
everybody. ``error``: something does not work, or a promise does not hold."""

SEVERITIES: tuple[Severity, ...] = ("ok", "note", "warning", "error")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    ``remedy`` is what a person can do. ``fix`` does it, where that is safe; ``fixed`` says that it was done.
    """

    check: str
    severity: Severity
    text: str
    remedy: str = ""
    fix: Callable[[], object] | None = field(default=None, repr=False, compare=False)
    fixed: bool = False


def worst(findings: list[Finding]) -> Severity:
    """Return the worst severity of what was not fixed."""
    return max((it.severity for it in findings if not it.fixed), key=SEVERITIES.index, default="ok")
