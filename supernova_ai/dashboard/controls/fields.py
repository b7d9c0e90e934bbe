"""The fields of a control's form, and the check of what was sent for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from supernova_ai.characters import CONTROLS as CONTROL_CHARACTERS
from supernova_ai.config.fields import mask
from supernova_ai.errors import InvalidRequest
from supernova_ai.identifiers import storable
from supernova_ai.secret import redact

YES = "yes"
"""The value of a field that is ticked."""

_LINE_BREAKS = re.compile(f"[{CONTROL_CHARACTERS}\n\r]")


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a control.

    A ``fixed`` one is shown and cannot be changed in the form. The form of a ``first`` one asks nothing else,
    because other fields depend on it. ``choices`` are values with their texts; a ``text`` offers them, and
    may have another value. ``most`` counts characters.
    """

    name: str
    label: str
    kind: Literal["text", "lines", "secret", "choice", "first", "fixed", "tick", "hidden"] = "text"
    value: str = ""
    choices: Sequence[tuple[str, str]] = ()
    hint: str = ""
    optional: bool = False
    most: int = 200

    def check(self, value: str) -> str:
        """Return what was sent for it.

        Raises:
            InvalidRequest: it cannot be a value of this field.
        """
        if len(value) > self.most:
            raise InvalidRequest(
                f"{self.label!r} has {len(value):,} characters; at most {self.most:,} are allowed"
            )
        if self.kind not in ("lines", "secret"):
            value = value.strip()
            if _LINE_BREAKS.search(value):
                raise InvalidRequest(f"{self.label!r} has a line break or another control character")
        if not value.strip():
            if self.optional:
                return ""
            what = "must be ticked" if self.kind == "tick" else "is missing"
            raise InvalidRequest(f"{self.label!r} {what}: nothing was done")
        if self.kind in ("choice", "first", "fixed") and value not in dict(self.choices):
            raise InvalidRequest(f"{self.label!r} must be one of the list")
        if self.kind == "tick" and value != YES:
            raise InvalidRequest(f"{self.label!r} must be {YES!r}, or not be sent")
        return storable(self.label, value)


def sent_values(fields: Sequence[Field], values: Mapping[str, str], *, form: bool) -> dict[str, str]:
    """Return the value of each field as it was sent, unchecked.

    Args:
        form: a whole form was sent, so that what is missing was left empty or not ticked.
    """
    return {field.name: values.get(field.name, "" if form else field.value) for field in fields}


def with_values(fields: Sequence[Field], values: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the fields with these values, except where a secret would be sent back to a page."""
    return tuple(
        replace(field, value="" if field.kind == "secret" or _is_secret(value) else value[: field.most])
        for field in fields
        for value in (values[field.name],)
    )


def _is_secret(text: str) -> bool:
    return redact(text) != text or mask(text) != text
