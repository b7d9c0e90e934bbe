"""Row checks: contradictions within one attempt's row, and facts about it that are worth knowing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from supernova_ai.ledger import labels
from supernova_ai.ledger.rollups import AMOUNTS
from supernova_ai.money import show

Row = Mapping[str, Any]
"""An attempt's row by column."""

_AMOUNTS = ("held_nano", *(name for name in AMOUNTS if name != "saved_nano"))
_BASES = {
    "held": (None,),
    "settled": ("exact", "estimated", "bound", "unknown", "cached"),
    "released": (None,),
    "lost": ("bound",),
}

SUSPECT = f"""
state NOT IN ('settled', 'released', 'lost') OR late <> 0
OR ended_ms IS NULL OR {" OR ".join(f"{name} < 0" for name in _AMOUNTS)}
OR (state = 'settled' AND (cost_basis IS NULL OR cost_basis NOT IN {_BASES["settled"]}))
OR (state = 'settled' AND cost_nano > held_nano)
OR (state <> 'settled' AND saved_nano <> 0)
OR (state = 'released' AND (cost_basis IS NOT NULL OR cost_nano <> 0))
OR (state = 'lost' AND (cost_basis IS NULL OR cost_basis <> 'bound' OR cost_nano <> held_nano))
OR (cost_basis = 'cached' AND (cost_nano <> 0 OR saved_nano <> 0))
"""
"""SQL: rows outside of it have no problems and no flags, except by the texts of their windows and tags."""


@dataclass(frozen=True, slots=True)
class LedgerFinding:
    """One result of a check: its kind, its object, the expected and the found value."""

    kind: str
    what: str
    expected: str
    found: str


def problems(row: Row) -> Iterator[LedgerFinding]:
    """Yield the contradictions within the row."""
    for expected, found in _contradictions(row):
        yield LedgerFinding("attempt", f"attempt {row['id']}", expected, found)


def flags(row: Row, processes: Collection[str]) -> Iterator[LedgerFinding]:
    """Yield what is worth knowing about the row; ``processes`` are those with a lease."""
    what = f"attempt {row['id']}"
    if row["state"] == "settled" and row["cost_nano"] > row["held_nano"]:
        yield LedgerFinding("overrun", what, f"at most {show(row['held_nano'])}", show(row["cost_nano"]))
    if row["late"]:
        yield LedgerFinding(
            "late", what, "ended before it was marked as lost", f"{row['state']} after it was marked as lost"
        )
    if row["state"] == "held" and row["process"] not in processes:
        yield LedgerFinding("orphan", what, "held by a process with a lease", "no process will end this hold")


@lru_cache(maxsize=1024)
def are_ids(windows: str) -> bool:
    """Say whether the text is a JSON list of different integers."""
    try:
        ids = json.loads(windows)
    except ValueError:
        return False
    return isinstance(ids, list) and all(type(each) is int for each in ids) and len(set(ids)) == len(ids)


@lru_cache(maxsize=1024)
def are_tags(tags: str | None) -> bool:
    """Say whether the text is tags as ``labels`` writes them."""
    return labels.to_text(labels.from_text(tags)) == tags


def _contradictions(row: Row) -> Iterator[tuple[str, str]]:
    state = row["state"]
    if state not in _BASES:
        yield f"a state of {', '.join(_BASES)}", f"state {state}"
        return
    if row["cost_basis"] not in _BASES[state]:
        bases = " or ".join(basis or "none" for basis in _BASES[state])
        yield f"{state} with basis {bases}", f"basis {row['cost_basis']}"
    if state == "lost" and row["cost_nano"] != row["held_nano"]:
        yield f"lost at its whole hold, {show(row['held_nano'])}", f"cost {show(row['cost_nano'])}"
    if state in ("held", "released") and row["cost_nano"] != 0:
        yield f"{state} at no cost", f"cost {show(row['cost_nano'])}"
    if row["cost_basis"] == "cached" and row["cost_nano"] != 0:
        yield "from the cache at no cost", f"cost {show(row['cost_nano'])}"
    if row["saved_nano"] != 0 and (state != "settled" or row["cost_basis"] == "cached"):
        yield "saved_nano only of an answer from a provider", f"saved_nano {row['saved_nano']}"
    if (row["ended_ms"] is None) != (state == "held"):
        yield f"{state} {'without' if state == 'held' else 'with'} an end time", f"ended_ms {row['ended_ms']}"
    if row["late"] and state not in ("settled", "released"):
        yield "late only when settled or released", f"late and {state}"
    for name in _AMOUNTS:
        if row[name] < 0:
            yield f"{name} of 0 or more", f"{name} {row[name]}"
    if not are_ids(row["windows"]):
        yield "windows as a JSON list of ids, each once", f"windows {row['windows']}"
    if not are_tags(row["tags"]):
        yield "tags as a JSON object, sorted by name", f"tags {row['tags']}"
