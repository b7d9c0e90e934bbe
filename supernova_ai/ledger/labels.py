"""Labels: the team and the tags of a call, as its rows have them, and by which sums are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

TEAM = "team"
"""The label of teams in the rollup."""

TAG = "tag:"
"""The label of a tag in the rollup is this and the tag's name."""


def to_text(tags: Mapping[str, str]) -> str | None:
    """Return tags as JSON, the same text for the same tags; None without any.

    >>> to_text({"desk": "fx", "book": "delta"})
    '{"book":"delta","desk":"fx"}'
    """
    if not tags:
        return None
    return json.dumps(dict(tags), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=1024)  # every hold and every end reads it
def from_text(text: str | None) -> Mapping[str, str]:
    """Return the tags of a row; none from a damaged text, which ``row_checks`` reports."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    return MappingProxyType(found if isinstance(found, dict) else {})


def tag_condition(name: str, value: str) -> tuple[str, list[str]]:
    """Return an SQL condition for a row to have the tag, and its arguments.

    Args:
        value: "" for rows without a tag of this name.
    """
    # A quote within a text is escaped in JSON, so these are found only where they are meant. REPLACE works in
    # both databases; SQLite's LIKE takes capital letters for small ones.
    if not value:
        return "(tags IS NULL OR REPLACE(tags, ?, '') = tags)", [f'"{name}":']
    tag = to_text({name: value})
    assert tag is not None
    return "REPLACE(tags, ?, '') <> tags", [tag[1:-1]]


def labels_of(team: str | None, tags: str | None) -> Iterator[tuple[str, str]]:
    """Yield the label and the value of the team and of each tag of a row."""
    if team is not None:
        yield TEAM, team
    for name, value in from_text(tags).items():
        yield f"{TAG}{name}", value
