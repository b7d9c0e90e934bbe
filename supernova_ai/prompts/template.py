"""A prompt template: its variables, its text, and the contract of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from supernova_ai.characters import quoted
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts.fence import fence
from supernova_ai.types import Tier

if TYPE_CHECKING:
    from jinja2 import Template as Compiled

    from supernova_ai.prompts.sandbox import Sandbox

Kind = Literal["text", "number", "date", "facts", "list"]
"""The type of a variable: ``facts`` is a numbered table, ``list`` a list of texts."""

_NEEDS: Mapping[Kind, str] = {
    "text": "a text",
    "number": "a finite number",
    "date": "a date, such as 2026-11-22",
    "facts": "a numbered table of facts, such as '1. close | Close | $136.36 | the last bar'",
    "list": "a list of texts",
}
_FACT = re.compile(r"^\d+\. \S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a template. An untrusted one is fenced wherever it appears."""

    name: str
    type: Kind = "text"
    untrusted: bool = False
    choices: tuple[str, ...] = ()
    required: bool = True
    default: Any = None

    def fault(self, value: object) -> str | None:
        """Return what the value must be, None if it is valid."""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}, not {quoted(value)}"
        if not _has_type(self.type, value):
            return f"must be {_NEEDS[self.type]}, not {quoted(value)}"
        return None

    def format(self, value: Any) -> Any:
        """Return the value as the template receives it."""
        if value is None or value in ("", [], ()):
            return value  # unfenced, so that {% if … %} is false
        if isinstance(value, date):
            value = value.isoformat()[:10]
        if not self.untrusted:
            return value
        return fence(self.name, value if isinstance(value, str) else "\n".join(f"- {item}" for item in value))


@dataclass(frozen=True, slots=True)
class Contract:
    """The form of an answer: plain text, text with sections, or JSON of a schema."""

    kind: Literal["plain", "sections", "json"] = "plain"
    sections: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template and its header.

    ``hash`` covers all files it is merged from, so that the ledger records the text used. ``source`` is the
    file, or "built-in". ``disclaimers``, by language, are shown after an answer and never sent to a model.
    """

    name: str
    version: int
    task: str
    variables: tuple[Variable, ...]
    system: str | None
    body: str
    hash: str
    tier: Tier | None = None
    contract: Contract = Contract()
    disclaimers: Mapping[str, str] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)
    source: str = "built-in"

    def disclaimer(self, language: str = "en") -> str | None:
        """Return the disclaimer in a language, else the first one."""
        return self.disclaimers.get(language) or next(iter(self.disclaimers.values()), None)

    def render(self, values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
        """Return the messages for these values.

        Raises:
            InvalidRequest: values are missing, wrong or unknown; the message lists all of them.
            ConfigError: the template itself fails.
        """
        if faults := list(self._value_faults(values)):
            raise InvalidRequest(f"prompt {self.name!r} cannot be rendered: {'; '.join(faults)}")
        given = {name: value for name, value in values.items() if value is not None}
        formatted = {v.name: v.format(given.get(v.name, v.default)) for v in self.variables}
        system = ({"role": "system", "content": self._text(self.system, formatted)},) if self.system else ()
        return (*system, {"role": "user", "content": self._text(self.body, formatted)})

    def _value_faults(self, values: Mapping[str, Any]) -> Iterator[str]:
        for variable in self.variables:
            value = values.get(variable.name)
            if value is None:
                if variable.required:
                    yield f"{variable.name} is missing"
            elif fault := variable.fault(value):
                yield f"{variable.name} {fault}"
        known = [variable.name for variable in self.variables]
        for name in values:
            if name not in known:
                near = get_close_matches(str(name), known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
                yield f"{name} is not one of its variables: {hint}"

    def _text(self, text: str, values: Mapping[str, Any]) -> str:
        try:
            return environment().fill(_compiled(text), values)
        except Exception as error:  # an expression in the text may raise anything
            raise ConfigError(f"prompt {self.name!r} ({self.source}) fails when rendered: {error}") from error


def _has_type(kind: Kind, value: object) -> bool:
    match kind:
        case "text":
            return isinstance(value, str)
        case "number":
            return (
                isinstance(value, int | float | Decimal) and not isinstance(value, bool) and isfinite(value)
            )
        case "date":
            return isinstance(value, date) or (isinstance(value, str) and _is_day(value))
        case "facts":
            return isinstance(value, str) and _FACT.search(value) is not None
        case "list":
            return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


@cache
def _compiled(text: str) -> Compiled:
    return environment().from_string(text)


@cache
def environment() -> Sandbox:
    """Return the Jinja environment of all templates: strict, limited, and without file access."""
    from jinja2 import StrictUndefined  # here, because most commands render nothing

    from supernova_ai.prompts.sandbox import Sandbox

    return Sandbox(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
