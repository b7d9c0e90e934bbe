"""Template files as they are written: a header in YAML between lines of ``---``, then the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or several merged into one.

    ``places`` say where each field was written, as ``file:line``; ``first`` is the file and the line before
    the body's first. ``texts`` are the whole files that it is made of, its own first.
    """

    path: Path
    fields: Mapping[str, Any]
    places: Mapping[Loc, str]
    body: str
    first: tuple[Path, int]
    texts: tuple[str, ...]

    def place(self, loc: Loc) -> str:
        """Return the place of a field, or of what it would be in."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, f"{self.path}:1")


class Malformed(Exception):
    """The file is no template; the message names file and line."""


def read(path: Path) -> Part:
    """Read one file.

    Raises:
        Malformed: it cannot be read, has no header, or the header is not a mapping in YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"{path}: cannot be read: {error}. It must be a readable UTF-8 file.") from error
    lines = text.split("\n")
    ends = [number for number, line in enumerate(lines) if line.rstrip() == "---"]
    if len(ends) < 2 or ends[0] != 0:
        raise Malformed(f"{path}:1: a template begins with a header between two lines of '---'")
    fields, places = _header(path, "\n".join(lines[1 : ends[1]]))
    body, after = "\n".join(lines[ends[1] + 1 :]), ends[1] + 1
    blank = len(body) - len(body.lstrip("\n"))
    return Part(path, fields, places, body.strip(), (path, after + blank), (text,))


def merge(base: Part, part: Part) -> Part:
    """Lay a file over the one it extends.

    A field replaces the base's, but variables and examples are merged; a file without a text has the base's.
    """
    own = {name: value for name, value in part.fields.items() if name != "extends"}
    merged = dict(base.fields) | own
    kept = {loc: place for loc, place in base.places.items() if loc[:1] and loc[0] not in own}
    for name in ("variables", "example"):
        low, high = base.fields.get(name), own.get(name)
        if isinstance(low, dict) and isinstance(high, dict):
            merged[name] = {key: _over(low.get(key), high.get(key, low.get(key))) for key in low | high}
            kept |= {loc: place for loc, place in base.places.items() if loc[:1] == (name,)}
    text = part if part.body else base
    places = kept | dict(part.places)
    return Part(part.path, merged, places, text.body, text.first, (*part.texts, *base.texts))


def _over(low: Any, high: Any) -> Any:
    return low | high if isinstance(low, dict) and isinstance(high, dict) else high


def _header(path: Path, text: str) -> tuple[dict[str, Any], dict[Loc, str]]:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        fields = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = mark.line + 2 if mark else 1
        raise Malformed(f"{path}:{line}: not valid YAML: {reason}. Check indentation and quotes.") from None
    if not isinstance(fields, dict):
        raise Malformed(f"{path}:2: the header must be a mapping, such as 'name: {path.stem}'")
    return _spelt_out(fields), dict(_places(path, root, ()))


def _places(path: Path, node: yaml.Node | None, at: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{path}:{key.start_mark.line + 2}"  # 1 for counting from 0, 1 for the line of '---'
            if key.value in seen:
                raise Malformed(f"{place}: {key.value!r} is here twice: keep one")
            seen.add(key.value)
            yield (*at, key.value), place
            yield from _places(path, value, (*at, key.value))


def _spelt_out(fields: dict[str, Any]) -> dict[str, Any]:
    """Write ``message: text`` as ``message: {type: text}``."""
    variables = fields.get("variables")
    if not isinstance(variables, dict):
        return fields
    return fields | {"variables": {k: {"type": v} if isinstance(v, str) else v for k, v in variables.items()}}
