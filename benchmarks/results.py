"""Results: ratios of figures that one run measured, as a table and as JSON; the machine they come from."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

BEGIN, END = "<!-- results -->\n", "<!-- end of the results -->\n"
"""The marks in a page between which the results stand."""

OURS = "SuperNova"
HEADS = ("case", "measured", "compared with", "ratio", "range", "at most")


class Ratio(NamedTuple):
    """A figure of SuperNova's divided by that of a peer, in each round; ``at_most`` bounds the median."""

    case: str
    measured: str
    peer: str
    rounds: Sequence[float]
    at_most: float | None = None

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def failed(self) -> bool:
        """Whether the median is above its bound."""
        return self.at_most is not None and self.median > self.at_most

    def cells(self) -> tuple[str, ...]:
        """Return its row of the table."""
        spread = f"{_short(min(self.rounds))} to {_short(max(self.rounds))}" if len(self.rounds) > 1 else ""
        bound = "" if self.at_most is None else _short(self.at_most)
        return self.case, self.measured, self.peer, _short(self.median), spread, bound

    def fields(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return self._asdict() | {"median": self.median, "range": [min(self.rounds), max(self.rounds)]}


def compare(
    case: str,
    measured: str,
    taken: Mapping[str, Sequence[float]],
    at_most: Mapping[str, float] | None = None,
    *,
    ours: str = OURS,
) -> Iterator[Ratio]:
    """Yield the ratio of one side to each other.

    Args:
        case: the name of the case.
        measured: what was measured.
        taken: the figures of each side, one for each round.
        at_most: bounds of medians, by the other side.
        ours: the side that is compared with the others.
    """
    for peer, theirs in taken.items():
        if peer != ours:
            ratios = [mine / other for mine, other in zip(taken[ours], theirs, strict=True)]
            yield Ratio(case, measured, peer, ratios, (at_most or {}).get(peer))


def machine(server: str | None) -> dict[str, str]:
    """Return what the figures depend on: cores and versions.

    Args:
        server: the version of PostgreSQL; None if there was no server.
    """
    packages = ("litellm", "openai", "aiohttp", "peewee", "talipp")
    return {
        "system": f"{platform.system()}, {platform.machine()}",
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": server or "none",
    }


def markdown(ratios: Iterable[Ratio], about: Mapping[str, str]) -> str:
    """Return the table and the machine as Markdown."""
    rows = [HEADS, ("---",) * len(HEADS), *(ratio.cells() for ratio in ratios)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\nMeasured on: {', '.join(f'{name} {value}' for name, value in about.items())}.\n"


def as_json(ratios: Iterable[Ratio], about: Mapping[str, str]) -> str:
    """Return the ratios, with each round, and the machine as JSON."""
    return json.dumps({"machine": about, "ratios": [ratio.fields() for ratio in ratios]}, indent=2) + "\n"


def write_between_marks(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def _short(figure: float) -> str:
    """Return three significant digits, without an exponent."""
    return f"{figure:,.0f}" if figure >= 99.5 else f"{figure:#.3g}".rstrip(".")
