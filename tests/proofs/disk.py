"""A disk under SQLite whose power can be cut: it remembers what was synced and what was only written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import apsw

SECTOR = 512
"""The most that a disk writes whole, in bytes."""


@dataclass(frozen=True)
class Write:
    """Bytes at an offset, or (``data`` is None) the cutting of the file to that length."""

    offset: int
    data: bytes | None

    def onto(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[Write]:
        """Return the parts that may reach the disk without each other."""
        if self.data is None:
            return [self]
        starts = range(0, len(self.data), SECTOR)
        return [Write(self.offset + start, self.data[start : start + SECTOR]) for start in starts]


@dataclass
class File:
    """What of a file is safe, and what has been written since."""

    safe: bytearray
    loose: list[Write]

    def after_a_cut(self, chance: Random, share: float) -> bytes:
        """Return what is found when the power is back: that share of the loose sectors, at random."""
        content = bytearray(self.safe)
        for write in self.loose:
            for sector in write.sectors():
                if chance.random() < share:
                    sector.onto(content)
        return bytes(content)


class Disk(apsw.VFS):
    """The system's own files, watched.

    Args:
        before_sync: called at every sync before anything becomes safe by it.
    """

    def __init__(self, name: str, before_sync: Callable[[], None]) -> None:
        super().__init__(name, "unix")
        self.vfs_name = name
        self.files: dict[str, File] = {}
        self.before_sync = before_sync

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return _Handle(self.files.setdefault(path, File(bytearray(), [])), self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.files.pop(filename, None)

    def copy(self) -> dict[str, File]:
        """Return how the files are now."""
        return {path: File(bytearray(file.safe), file.loose.copy()) for path, file in self.files.items()}


class _Handle(apsw.VFSFile):
    def __init__(self, file: File, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self.file, self.disk = file, disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.file.loose.append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self.file.loose.append(Write(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.before_sync()
        super().xSync(flags)
        for write in self.file.loose:
            write.onto(self.file.safe)
        self.file.loose.clear()


def restore(files: dict[str, File], folder: Path, chance: Random, share: float) -> None:
    """Write into the folder what is found of the files after a cut."""
    for path, file in files.items():
        (folder / Path(path).name).write_bytes(file.after_a_cut(chance, share))
