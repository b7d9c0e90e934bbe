"""The files of an archive: compressed JSON lines, one per attempt, and a manifest beside them."""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supernova_ai.errors import StoreError
from supernova_ai.paths import new_file, private_folder, sync_folder
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
    """What one archive contains. Times are Unix milliseconds, amounts nano-USD, hashes SHA-256 in hex.

    ``first_ms`` and ``last_ms`` are when its first and last attempt started; ``states`` has the rows and the
    cost by state; ``windows`` has the sums settled and lost by window id.
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
        """Read what ``text`` returned."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return it as JSON; equal manifests give equal texts."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def archives_of(folder: Path, store: str) -> Iterator[Path]:
    """Yield the archives in the folder whose names contain the store's id; stores may share a folder."""
    return folder.glob(f"attempts-{store[:8]}-*{SUFFIX}")


def new_path(folder: Path, store: str, rows: Iterable[bulk.Row]) -> Path:
    """Return a unique path in the folder, named after the store and the days of its rows."""
    days = sorted(f"{datetime.fromtimestamp(row[_STARTED] / 1000, UTC):%Y%m%d}" for row in rows)
    return folder / f"attempts-{store[:8]}-{days[0]}-{days[-1]}-{uuid.uuid4().hex[:12]}{SUFFIX}"


def write_archive(file: Path, rows: Sequence[bulk.Row], before_ms: int) -> Manifest:
    """Write the rows and their manifest; both are on the disk when this returns.

    Raises:
        OSError: something could not be written.
    """
    _make_durable(file.parent)
    content = to_lines(rows)
    compressed = gzip.compress(content, mtime=0)
    _write_durably(file, compressed)
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
    _write_durably(_manifest_path(file), manifest.text().encode())
    sync_folder(file.parent)
    return manifest


def delete_archive(file: Path) -> None:
    """Delete the files that ``write_archive`` wrote, even if it wrote only a part."""
    _manifest_path(file).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows by column, in the order they started; columns newer than the file get their defaults.

    Raises:
        StoreError: a line is longer than any row can be.
    """
    defaults = {field.column_name: field.default for field in AttemptRow._meta.sorted_fields}
    with gzip.open(file) as lines:
        while line := lines.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise StoreError(f"{file} is damaged: it has a line of more than {_LONGEST_LINE} bytes")
            yield defaults | json.loads(line)


def find_damage(manifest: Manifest, folder: Path) -> str | None:
    """Return what is wrong with the archive's files, or None."""
    file = folder / manifest.file
    if not file.is_file():
        return f"there is no {file}"
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != manifest.file_sha256:
        return f"its SHA-256 is {found}, and the journal says {manifest.file_sha256}"
    with gzip.open(file) as lines:
        content = hashlib.file_digest(lines, "sha256").hexdigest()
    if content != manifest.content_sha256:
        return f"its content's SHA-256 is {content}, and the journal says {manifest.content_sha256}"
    path = _manifest_path(file)
    if not path.is_file() or path.read_bytes() != manifest.text().encode():
        return f"its manifest {path.name} is missing, or differs from the one in the journal"
    return None


def to_lines(rows: Iterable[bulk.Row]) -> bytes:
    """Return the rows as JSON lines, ordered here because databases may collate ids differently."""
    ordered = sorted(rows, key=lambda row: (row[_STARTED], row[_ID]))
    lines = (json.dumps(dict(zip(_COLUMNS, row, strict=True)), separators=(",", ":")) for row in ordered)
    return "".join(f"{line}\n" for line in lines).encode()


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


def _manifest_path(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(SUFFIX) + ".json")


def _make_durable(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    private_folder(folder)
    for each in missing:
        sync_folder(each.parent)


def _write_durably(file: Path, content: bytes) -> None:
    with new_file(file) as stream:
        stream.write(content)
