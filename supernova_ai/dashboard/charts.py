"""Charts as data: app.js draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["usd", "ms", "count", "price"]
"""A chart of prices need not begin at zero."""


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each time, None where there is none. ``colour`` is a name of app.css, such as ``c1``.

    A ``band`` is filled down to the series after it, its ``band-end``. A ``stack``
    of bars is of all series with it.
    """

    label: str
    values: Sequence[float | None]
    colour: str
    kind: Literal["line", "dashed", "bars", "stack", "band", "band-end"] = "line"


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over the same times, in Unix seconds. ``label`` says in words what they show."""

    label: str
    times: Sequence[float]
    series: Sequence[Series]
    unit: Unit

    def data(self) -> dict[str, Any]:
        """Return the chart as JSON types."""
        return asdict(self)
