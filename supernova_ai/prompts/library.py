"""Prompt templates: data files with a header, rendered strictly in a sandbox."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from supernova_ai.errors import InvalidRequest

if TYPE_CHECKING:
    from jinja2 import Template as Compiled

_BUILT_IN = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Template:
    """A template and its header. ``hash`` is of the whole file, so a ledger row says which text was used."""

    name: str
    version: int
    task: str
    variables: tuple[str, ...]
    system: str | None
    body: str
    hash: str

    def render(self, values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
        """Return the messages for these values.

        Raises:
            InvalidRequest: variables are missing; the message lists all of them.
        """
        missing = [name for name in self.variables if name not in values]
        if missing:
            raise InvalidRequest(f"prompt {self.name!r} needs {', '.join(missing)}")
        text = _compiled(self.body).render(values)
        system = ({"role": "system", "content": self.system},) if self.system else ()
        return (*system, {"role": "user", "content": text})


@cache
def get(name: str) -> Template:
    """Return the template of that name.

    Raises:
        InvalidRequest: there is none; the message lists those there are.
    """
    path = _BUILT_IN / f"{name}.md"
    if name not in names():
        raise InvalidRequest(f"there is no prompt {name!r}; choose one of: {', '.join(names())}")
    text = path.read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    fields = yaml.safe_load(header)
    return Template(
        name=fields["name"],
        version=fields["version"],
        task=fields["task"],
        variables=tuple(fields["variables"]),
        system=fields.get("system"),
        body=body.strip(),
        hash=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


@cache
def names() -> tuple[str, ...]:
    """Return the names of all templates."""
    return tuple(sorted(path.stem for path in _BUILT_IN.glob("*.md")))


def _without_markers(text: str) -> str:
    """Break up every <<< and >>> in the material, so that it cannot close the markers around it."""
    return re.sub(r"<{3,}|>{3,}", lambda run: " ".join(run[0]), text)


@cache
def _compiled(body: str) -> Compiled:
    from jinja2 import StrictUndefined  # here: most commands render nothing
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters["without_markers"] = _without_markers
    return environment.from_string(body)
