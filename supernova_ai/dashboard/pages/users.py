"""The page Users: what each costs, how good their answers are and how they rate them, and how they ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from supernova_ai.dashboard.page import Page, Part, Reading
from supernova_ai.dashboard.pages.choices import SPANS, span_of
from supernova_ai.reports import usage
from supernova_ai.reports.rated import RatedLine, rated_lines

_ROWS = 50
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _people(reading: Reading) -> Mapping[str, Any]:
    span, period = span_of(reading)
    lines = rated_lines(reading.database, period, "user")
    named = [line for line in lines if line.name]
    return {
        "rows": lines[:_ROWS],
        "more": len(lines) - _ROWS,
        "users": len(named),
        "cost": sum(line.cost for line in lines),
        "each": round(sum(line.cost for line in named) / len(named)) if named else None,
        "quality": _mean(lines, "quality", "checked"),
        "checked": sum(line.checked for line in lines),
        "score": _mean(lines, "score", "feedbacks"),
        "feedbacks": sum(line.feedbacks for line in lines),
        "span": span,
        "span_name": reading.one_of("span", SPANS, "day"),
    }


def _mean(lines: list[RatedLine], value: str, count: str) -> float | None:
    """Return the mean over all ratings; None without any."""
    whole = sum(getattr(line, count) for line in lines)
    return (
        sum((getattr(line, value) or 0) * getattr(line, count) for line in lines) / whole if whole else None
    )


def _patterns(reading: Reading) -> Mapping[str, Any]:
    span, period = span_of(reading)
    user = reading.chosen.get("user")
    week: Counter[tuple[int, int]] = Counter()
    for hour, attempts in usage.by_hour(reading.database, period, user).items():
        at = datetime.fromtimestamp(hour * 3600, reading.now.tzinfo)
        week[at.weekday(), at.hour] += attempts
    tasks = usage.by_task(reading.database, period, user)
    return {
        "user": user,
        "span": span,
        "span_name": reading.one_of("span", SPANS, "day"),
        "week": [(day, [week[number, hour] for hour in range(24)]) for number, day in enumerate(_DAYS)],
        "busiest": max(week.values(), default=0),
        "tasks": tasks,
        "attempts": sum(use.attempts for use in tasks),
    }


USERS = Page(
    "users",
    "Users",
    (
        Part("people", "Users", _people, takes=("span",)),
        Part("patterns", "Patterns of use", _patterns, takes=("span", "user")),
    ),
    choices={"span": [(name, span.title) for name, span in SPANS.items()]},
)
