"""Evidence of a run, in which a secret might show: logs, output, files, errors, and objects in every form."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supernova_ai import SupernovaError


class Notes(logging.Handler):
    """Keeps all that a record has for any handler, before another one's formatting can clean it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()} {record.args} {record.exc_text}")
        if record.exc_info:
            self.lines.extend(traceback.format_exception(*record.exc_info))


@dataclass
class Evidence:
    """All that the run left where somebody may look."""

    folder: Path
    logs: Notes = field(default_factory=Notes)
    output: io.BytesIO = field(default_factory=io.BytesIO)
    errors: list[SupernovaError] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def show(self, value: object) -> None:
        """Keep every usual way of showing an object."""
        ways: list[Callable[[Any], object]] = [
            repr,
            str,
            vars,
            pickle.dumps,
            copy.deepcopy,
            lambda it: f"{it:}",
            lambda it: json.dumps(it, default=vars),
            lambda it: json.dumps(dataclasses.asdict(it), default=str),
            lambda it: it.model_dump_json(),
        ]
        for way in ways:
            try:
                self.shown.append(repr(way(value)))
            except Exception as error:
                self.shown.append(repr(error))

    @property
    def printed(self) -> str:
        return self.output.getvalue().decode()

    def keep_files(self) -> None:
        for file in self.folder.rglob("*"):
            if file.is_file() and file.name != "key.txt":
                self.files[f"{file.name} {len(self.files)}"] = file.read_bytes()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and every error it hangs on."""
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chain(error.__cause__)
        error = error.__context__
