"""The files of an archive: compressed JSON lines, each the row of an attempt, and a manifest beside them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supernova_ai.errors import StoreError
from supernova_ai.paths import private_folder
from supernova_ai.store import bulk
from supernova_ai.store.tables import AttemptRow

SUFFIX = ".jsonl.gz"

_LONGEST_LINE = 2**20
"""Bytes: an attempt takes about one thousand."""

_COLUMNS = bulk.columns(AttemptRow)
_ID, _STARTED, _STATE, _COST, _WINDOWS = (
    _COLUMNS.index(name) for name in ("id", "started_ms", "state", "cost_nano", "windows")
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one archive holds. Times are Unix milliseconds, amounts nano-USD, hashes SHA-256 in hex.

    ``first_ms`` and ``last_ms`` are when its first and last attempt started; ``states`` has rows and cost
    by state; ``windows`` has what its rows settled and lost by window id.
    """

    file: str
    rows: int
    before_ms: int
    first_ms: int
    last_ms: int
    states: dict[str, dict[str, int]]
    windows: dict[str, list[int]]
    file_sha256: str
    content_sha256: str

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read what ``text`` wrote."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return it as JSON, always the same."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def of_store(folder: Path, store: str) -> Iterator[Path]:
    """Yield the archives in the folder that are named after the store; others may share the folder."""
    return folder.glob(f"attempts-{store[:8]}-*{SUFFIX}")


def new_file(folder: Path, store: str, rows: Iterable[bulk.Row]) -> Path:
    """Name a file in the folder that nobody else will write, after the store and the days of its rows."""
    days = sorted(f"{datetime.fromtimestamp(row[_STARTED] / 1000, UTC):%Y%m%d}" for row in rows)
    return folder / f"attempts-{store[:8]}-{days[0]}-{days[-1]}-{uuid.uuid4().hex[:12]}{SUFFIX}"


def write(file: Path, rows: Sequence[bulk.Row], before_ms: int) -> Manifest:
    """Write the rows and their manifest; both are on the disk when this returns.

    Raises:
        OSError: something could not be written.
    """
    _make(file.parent)
    content = lines(rows)
    compressed = gzip.compress(content, mtime=0)
    _sync(file, compressed)
    manifest = Manifest(
        file=file.name,
        rows=len(rows),
        before_ms=before_ms,
        first_ms=min(row[_STARTED] for row in rows),
        last_ms=max(row[_STARTED] for row in rows),
        **_sums(rows),
        file_sha256=hashlib.sha256(compressed).hexdigest(),
        content_sha256=hashlib.sha256(content).hexdigest(),
    )
    _sync(_beside(file), manifest.text().encode())
    sync_folder(file.parent)
    return manifest


def discard(file: Path) -> None:
    """Remove what ``write`` wrote, wholly or in part."""
    _beside(file).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def read(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows by column, in the order they started; a column younger than the file has its default.

    Raises:
        StoreError: a line is longer than any row can be.
    """
    young = {field.column_name: field.default for field in AttemptRow._meta.sorted_fields}
    with gzip.open(file) as written:
        while line := written.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise StoreError(f"{file} is damaged: a line of it is longer than {_LONGEST_LINE} bytes")
            yield young | json.loads(line)


def damage(manifest: Manifest, folder: Path) -> str | None:
    """Say what is wrong with the archive's files, None if nothing is."""
    file = folder / manifest.file
    if not file.is_file():
        return f"there is no {file}"
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != manifest.file_sha256:
        return f"its SHA-256 is {found}, and the journal says {manifest.file_sha256}"
    with gzip.open(file) as written:
        content = hashlib.file_digest(written, "sha256").hexdigest()
    if content != manifest.content_sha256:
        return f"its content's SHA-256 is {content}, and the journal says {manifest.content_sha256}"
    beside = _beside(file)
    if not beside.is_file() or beside.read_bytes() != manifest.text().encode():
        return f"its manifest {beside.name} is missing, or is not the one in the journal"
    return None


def lines(rows: Iterable[bulk.Row]) -> bytes:
    """Return the rows as JSON lines, in an order that no database's collation decides."""
    ordered = sorted(rows, key=lambda row: (row[_STARTED], row[_ID]))
    written = (json.dumps(dict(zip(_COLUMNS, row, strict=True)), separators=(",", ":")) for row in ordered)
    return "".join(f"{line}\n" for line in written).encode()


def _sums(rows: Iterable[bulk.Row]) -> dict[str, Any]:
    states: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"rows": 0, "cost_nano": 0})
    windows: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        state, cost = row[_STATE], row[_COST]
        states[state]["rows"] += 1
        states[state]["cost_nano"] += cost
        if state != "released":
            for window in json.loads(row[_WINDOWS]):
                windows[str(window)][state == "lost"] += cost
    return {"states": dict(states), "windows": dict(windows)}


def _beside(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(SUFFIX) + ".json")


def _make(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    private_folder(folder)
    for each in missing:
        sync_folder(each.parent)


def _sync(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # it has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
