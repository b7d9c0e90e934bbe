"""What is inside a backup: lines of JSON, the same for every engine.

    {"format": 1, "store": …}                              the manifest
    {"part": "table/attempt", "columns": ["id", …]}        then a line for each row, as a list
    {"end": "table/attempt", "rows": 2, "sha256": …}       of the lines of its rows
    {"part": "file/config/supernova.yaml", …}              then its bytes, in pieces
    …
    {"parts": 30}                                          the last line

Bytes are ``{"base64": …}``. All of it is compressed, then encrypted.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from supernova_ai.errors import BackupError, SchemaTooNew
from supernova_ai.operations.backup.container import Cost, Opener, Sealer
from supernova_ai.paths import open_regular, reason_of
from supernova_ai.secret import Secret
from supernova_ai.store.schema import known_migrations

FORMAT = 1
TABLE, FILE, MASTER = "table/", "file/", "master"
"""The names of parts, or how they begin."""

_PIECE = 48 * 1024
_LONGEST_LINE = 256 * 2**20
_LEVEL = 3  # zlib's: higher ones take several times as long for a tenth less

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup contains. Times are Unix milliseconds.

    ``schema`` is the last migration of its database; ``rows`` has the number of rows by table; ``heads`` say
    how far the ledger, the audit and the advice had come; ``settings`` are those of
    ``Config.shown``; ``files`` are the names of its files; ``missing`` are the archives that the
    ledger names and that were not found.
    """

    package: str
    store: str
    created_ms: int
    environment: str
    schema: str
    master_id: str | None
    heads: Mapping[str, Any]
    rows: Mapping[str, int]
    settings: Mapping[str, Any]
    files: tuple[str, ...]
    missing: tuple[str, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Part:
    """A table, a file or the master key. Its rows must be read before the next part."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]


class Writer:
    """Writes the manifest, the parts and the last line into an encrypted file."""

    def __init__(self, file: BinaryIO, passphrase: Secret, manifest: Manifest, cost: Cost) -> None:
        self._sealer = Sealer(
            file, passphrase, store=manifest.store, created_ms=manifest.created_ms, cost=cost
        )
        self._packed = gzip.GzipFile(fileobj=self._sealer, mode="wb", compresslevel=_LEVEL, mtime=0)
        self._parts = 0
        self._packed.write(_line(asdict(manifest)))

    def add(self, name: str, columns: Iterable[str], rows: Iterable[Row]) -> None:
        """Write a part."""
        self._packed.write(_line({"part": name, "columns": list(columns)}))
        digest, count = hashlib.sha256(), 0
        for row in rows:
            line = _line(row)
            digest.update(line)
            count += 1
            self._packed.write(line)
        self._packed.write(_line({"end": name, "rows": count, "sha256": digest.hexdigest()}))
        self._parts += 1

    def add_file(self, name: str, file: BinaryIO) -> None:
        """Write a file as the part of that name."""
        self.add(FILE + name, ["bytes"], ((piece,) for piece in iter(lambda: file.read(_PIECE), b"")))

    def finish(self) -> None:
        """Write the last line and the last chunk: only now the file can be opened."""
        self._packed.write(_line({"parts": self._parts}))
        self._packed.close()
        self._sealer.finish()


class Reader:
    """Reads what ``Writer`` wrote; everything it gives was checked. A context manager, which closes the file.

    Raises:
        BackupError: here, or while parts are read: the file cannot be read or is no backup, the passphrase
            is wrong, or the file is damaged.
        SchemaTooNew: a newer version of this package wrote it.
    """

    def __init__(self, path: Path, passphrase: Secret) -> None:
        self.path = path
        with self.explained():
            self._file = open_regular(path)
        try:
            with self.explained():
                opener = Opener(self._file, passphrase)
                self._lines = gzip.GzipFile(fileobj=cast(BinaryIO, opener), mode="rb")
                self.manifest = _manifest(self._head())
                if (self.manifest.store, self.manifest.created_ms) != (
                    opener.header.store,
                    opener.header.created_ms,
                ):
                    raise BackupError("its header does not belong to its content")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def parts(self) -> Iterator[Part]:
        """Yield the parts in order. After the last one, nothing is missing and nothing follows."""
        count = 0
        with self.explained():
            while "part" in (head := self._head()):
                yield Part(head["part"], tuple(head["columns"]), self._rows(head["part"]))
                count += 1
            if head != {"parts": count} or self._lines.read(1):
                raise ValueError("it does not end where it should")

    def _rows(self, name: str) -> Iterator[Row]:
        digest, count = hashlib.sha256(), 0
        with self.explained():
            while isinstance(row := _decode((line := self._line()).decode()), list):
                digest.update(line)
                count += 1
                yield tuple(row)
            if row != {"end": name, "rows": count, "sha256": digest.hexdigest()}:
                raise ValueError(f"part {name} differs from its hash")

    def _head(self) -> dict[str, Any]:
        head = _decode(self._line().decode())
        if not isinstance(head, dict):
            raise TypeError("a part begins without its name")
        return head

    def _line(self) -> bytes:
        line = self._lines.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise ValueError("a line has no end")
        return line

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Name the file in errors; what was decrypted and is not as ``Writer`` writes it is an error too."""
        try:
            yield
        except BackupError as error:
            if str(error).startswith(str(self.path)):
                raise
            raise BackupError(f"{self.path} cannot be used: {error}") from None
        except OSError as error:
            raise BackupError(f"{self.path} cannot be read: {reason_of(error)}") from error
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            EOFError,
            zlib.error,
            RecursionError,
        ) as error:
            raise BackupError(f"{self.path} cannot be used: its content is wrong: {error}") from error


def _manifest(fields: dict[str, Any]) -> Manifest:
    if fields["format"] != FORMAT:
        raise BackupError(f"its content has format {fields['format']}: upgrade the package")
    if fields["schema"] not in known_migrations():
        raise SchemaTooNew(
            f"the backup was written by supernova-ai {fields['package']}, whose database is newer (it has "
            f"{fields['schema']}): upgrade the package"
        )
    return Manifest(**fields | {"files": tuple(fields["files"]), "missing": tuple(fields["missing"])})


def _base64(value: object) -> dict[str, str]:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"a {type(value).__name__} has no place in a backup")


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"], validate=True) if value.keys() == {"base64"} else value


# Made once: the functions of the module make one of each for every line.
_encode = json.JSONEncoder(default=_base64, separators=(",", ":"), ensure_ascii=False).encode
_decode = json.JSONDecoder(object_hook=_bytes).decode


def _line(value: object) -> bytes:
    return _encode(value).encode() + b"\n"
