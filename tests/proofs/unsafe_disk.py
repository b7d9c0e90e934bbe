"""A disk for SQLite whose power can be cut: it knows which writes were synced and which were not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import apsw

SECTOR = 512
"""The most bytes that a disk writes atomically."""


@dataclass(frozen=True)
class Write:
    """Bytes at an offset; or, if ``data`` is None, the truncation of the file to that length."""

    offset: int
    data: bytes | None

    def apply_to(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> list[Write]:
        """Return the parts that may reach the disk independently."""
        if self.data is None:
            return [self]
        starts = range(0, len(self.data), SECTOR)
        return [Write(self.offset + start, self.data[start : start + SECTOR]) for start in starts]


@dataclass
class File:
    """A file: its synced content, and the writes since."""

    synced: bytearray
    unsynced: list[Write]

    def after_power_loss(self, chance: Random, share: float) -> bytes:
        """Return the content after a power loss: a random ``share`` of the unsynced sectors was written."""
        content = bytearray(self.synced)
        for write in self.unsynced:
            for sector in write.sectors():
                if chance.random() < share:
                    sector.apply_to(content)
        return bytes(content)


class Disk(apsw.VFS):
    """The system's own files, with every write and sync recorded.

    Args:
        before_sync: called at every sync, before its writes are durable.
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
        """Return copies of the files as they are now."""
        return {path: File(bytearray(file.synced), file.unsynced.copy()) for path, file in self.files.items()}


class _Handle(apsw.VFSFile):
    def __init__(self, file: File, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self.file, self.disk = file, disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.file.unsynced.append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self.file.unsynced.append(Write(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.before_sync()
        super().xSync(flags)
        for write in self.file.unsynced:
            write.apply_to(self.file.synced)
        self.file.unsynced.clear()


def restore(files: dict[str, File], folder: Path, chance: Random, share: float) -> None:
    """Write the files, as they are after a power loss, into the folder."""
    for path, file in files.items():
        (folder / Path(path).name).write_bytes(file.after_power_loss(chance, share))
