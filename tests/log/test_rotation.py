"""A log file that several processes write."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai.log.rotation import LogFile

_DAY = 86_400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "nova.log"


@pytest.fixture
def open_log(file: Path) -> Iterator[Callable[..., LogFile]]:
    opened = []

    def open_log(max_bytes: int = 1000, keep_days: int = 2, now: float | None = None) -> LogFile:
        ticks = {} if now is None else {"now": lambda: now}
        opened.append(LogFile(file, max_bytes=max_bytes, keep_days=keep_days, **ticks))
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


def say(log: LogFile, text: str) -> None:
    log.handle(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))


def tidy(log: LogFile) -> None:
    """Tidy up, after the threads that rotations have started."""
    for thread in threading.enumerate():
        if thread.name == "supernova-log":
            thread.join()
    log.tidy()


def everything(folder: Path) -> list[str]:
    """Return all lines of the folder's files."""
    packed = [gzip.decompress(path.read_bytes()) for path in folder.glob("*.gz")]
    plain = [path.read_bytes() for path in folder.iterdir() if path.suffix != ".gz"]
    return [line for text in (*packed, *plain) for line in text.decode().splitlines()]


def test_only_this_user_may_read_it(file: Path, open_log: Callable[..., LogFile]) -> None:
    """The folder has mode 0700 and every file 0600, compressed ones too, and a file that was there."""
    file.parent.mkdir(mode=0o700)
    file.touch(0o644)
    log = open_log(max_bytes=10)
    say(log, "first line")
    say(log, "second line")
    tidy(log)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


def test_it_is_rotated_by_size(file: Path, open_log: Callable[..., LogFile]) -> None:
    """A line that would make the file too large goes into a new one; the old one is compressed."""
    log = open_log(max_bytes=30)
    for number in range(6):
        say(log, f"line {number} of ten bytes")
    tidy(log)
    assert file.read_text() == "line 5 of ten bytes\n"
    names = sorted(path.name for path in file.parent.iterdir())
    day = names[1].split(".")[2]
    assert names == ["nova.log", *(f"nova.log.{day}.{n}.gz" for n in range(1, 6))]
    assert sorted(everything(file.parent)) == [f"line {n} of ten bytes" for n in range(6)]


def test_a_line_larger_than_a_file_is_written_whole(file: Path, open_log: Callable[..., LogFile]) -> None:
    """The limit is no reason to lose a line."""
    say(open_log(max_bytes=10), "x" * 100_000)
    assert file.read_text() == "x" * 100_000 + "\n"


def test_it_is_rotated_each_day(file: Path, open_log: Callable[..., LogFile]) -> None:
    """The first line of a day goes into a new file; the old one has the day of its last line as its name."""
    say(open_log(), "yesterday")
    os.utime(file, (0, 1_700_000_000))  # 2023-11-14
    log = open_log(now=1_700_000_000 + _DAY)
    say(log, "today")
    tidy(log)
    assert file.read_text() == "today\n"
    assert (file.parent / "nova.log.2023-11-14.1.gz").exists()


def test_old_files_are_deleted(file: Path, open_log: Callable[..., LogFile]) -> None:
    """Rotated files older than ``keep_days`` are deleted; other files are not touched."""
    log = open_log(max_bytes=10, keep_days=2)
    for name in ("first line", "second line", "third line"):
        say(log, name)
    tidy(log)
    old, young = sorted(path for path in file.parent.iterdir() if path.suffix == ".gz")
    other = file.with_name("nova.log.old")
    other.touch()
    for path in (old, other):
        os.utime(path, (0, path.stat().st_mtime - 3 * _DAY))
    tidy(log)
    assert {path.name for path in file.parent.iterdir()} == {"nova.log", young.name, "nova.log.old"}


def test_what_a_killed_process_left_is_compressed(file: Path, open_log: Callable[..., LogFile]) -> None:
    """A rotated file that is not compressed, or only in part, is compressed by the next process."""
    log = open_log()
    (file.parent / "nova.log.2023-11-14.1").write_text("kept\n")
    (file.parent / "nova.log.2023-11-14.1.gz.part").write_bytes(b"torn")
    os.utime(file.parent / "nova.log.2023-11-14.1")
    tidy(log)
    assert {path.name for path in file.parent.iterdir()} == {"nova.log", "nova.log.2023-11-14.1.gz"}
    assert everything(file.parent) == ["kept"]


def test_a_full_disk_keeps_the_rotated_file(
    file: Path, open_log: Callable[..., LogFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file cannot be compressed it stays as it is, and nothing incomplete stays beside it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = open_log()
    (file.parent / "nova.log.2023-11-14.1").write_text("kept\n")
    os.utime(file.parent / "nova.log.2023-11-14.1")
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        log.tidy()
    assert {path.name for path in file.parent.iterdir()} == {"nova.log", "nova.log.2023-11-14.1"}


def test_a_removed_file_is_made_again(file: Path, open_log: Callable[..., LogFile]) -> None:
    """After another program moved the file away, the next line begins a new one."""
    log = open_log()
    say(log, "one")
    file.rename(file.with_name("moved"))
    say(log, "two")
    assert file.read_text() == "two\n"


def test_a_line_that_cannot_be_written_is_shown(
    file: Path, open_log: Callable[..., LogFile], capsys: pytest.CaptureFixture[str]
) -> None:
    """If the file cannot be written, the line goes to standard error with the reason."""
    log = open_log()
    file.unlink()
    file.mkdir()
    say(log, "kept line")
    shown = capsys.readouterr().err
    assert "nova.log cannot be written" in shown
    assert shown.endswith("kept line\n")


_WRITER = """
import logging, sys
from pathlib import Path
from supernova_ai.log.rotation import LogFile
log = LogFile(Path(sys.argv[1]), max_bytes=20_000, keep_days=9)
for number in range(500):
    text = f'{{"process": "{sys.argv[2]}", "number": {number}, "rest": "{"x" * (number % 200)}"}}'
    log.handle(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))
"""


@pytest.mark.proof
def test_processes_lose_and_tear_no_line(file: Path) -> None:
    """Four processes write one file that is rotated many times: every line is there once, whole."""
    running = [subprocess.Popen([sys.executable, "-c", _WRITER, str(file), str(name)]) for name in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    found = [(line["process"], line["number"]) for line in map(json.loads, everything(file.parent))]
    assert sorted(found) == sorted((str(name), number) for name in range(4) for number in range(500))
    assert len(list(file.parent.glob("*.gz"))) > 10
