"""Recorded requests to real providers and their answers, which are stored outside this project."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernova_ai.testing.answers import Raw

WIRE_DIR = "SUPERNOVA_WIRE_DIR"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A recorded request and its answer. ``response`` is the JSON of the answer, or the text of a stream."""

    name: str
    provider: str
    request: Mapping[str, Any]
    status: int
    content_type: str
    headers: Mapping[str, str]
    response: Mapping[str, Any] | str

    @property
    def streamed(self) -> bool:
        return isinstance(self.response, str)

    @property
    def answer(self) -> Raw:
        """The recorded answer, as a step of a ``StubProvider``."""
        body = self.response if isinstance(self.response, str) else json.dumps(self.response)
        return Raw(self.status, self.content_type, body, self.headers)


def exchanges(folder: str | Path | None = None) -> Iterator[Exchange]:
    """Yield the exchanges of a folder, sorted by name.

    Args:
        folder: by default the folder in SUPERNOVA_WIRE_DIR; without either there are no exchanges.
    """
    folder = folder or os.environ.get(WIRE_DIR)
    for path in sorted(Path(folder).glob("*.json")) if folder else ():
        record = json.loads(path.read_text(encoding="utf-8"))
        yield Exchange(
            name=path.stem,
            **{
                field: record[field]
                for field in ("provider", "request", "status", "content_type", "headers", "response")
            },
        )
