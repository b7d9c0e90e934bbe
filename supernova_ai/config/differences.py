"""What differs between two configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNSET = "(not set)"
"""The value of a setting that only the other configuration has."""


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], at: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted name and both values of each setting that differs.

    A list is one setting, except ``budgets``, which are found by their names.

    Args:
        before: settings as ``Config.shown`` returns them; so is ``after``.

    >>> list(differences({"routing": {"retries": 2, "wait": 1}}, {"routing": {"retries": 3, "wait": 1}}))
    [('routing.retries', 2, 3)]
    """
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, UNSET), after.get(name, UNSET)
        if name == "budgets" and not at:
            old, new = ({budget["name"]: budget for budget in budgets} for budgets in (old, new))
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{at}{name}.")
        elif old != new:
            yield f"{at}{name}", old, new
