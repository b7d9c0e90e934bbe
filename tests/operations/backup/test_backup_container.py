"""The encrypted file: it opens with its passphrase only, whole and unchanged, in constant memory."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.errors import BackupError
from supernova_ai.operations.backup.container import Cost, Header, Opener, Sealer
from supernova_ai.secret import Secret
from tests.processes import leaving_nothing

PASSPHRASE = Secret("correct horse battery")
CHEAP = Cost(log_n=4)
CHUNK = 65_536 + 16
HEADER = 59


def sealed(content: bytes, cost: Cost = CHEAP) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, PASSPHRASE, store="5e" * 16, created_ms=1_795_000_000_000, cost=cost)
    sealer.write(content)
    sealer.finish()
    return file.getvalue()


def opened(data: bytes, passphrase: Secret = PASSPHRASE) -> bytes:
    return io.BufferedReader(Opener(io.BytesIO(data), passphrase)).read()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 200_000])
def test_what_was_written_is_read(size: int) -> None:
    """Any size comes back, also one that fills its chunks exactly and ends with an empty one."""
    content = Random(size).randbytes(size)
    file = sealed(content)
    assert opened(file) == content
    assert len(file) == HEADER + size + 16 * (size // 65_536 + 1)


@given(st.lists(st.binary(max_size=100_000), max_size=5), st.integers(1, 70_000))
def test_it_is_read_as_it_was_written_in_any_pieces(pieces: list[bytes], size: int) -> None:
    """Neither the sizes of the writes nor those of the reads matter."""
    file = io.BytesIO()
    sealer = Sealer(file, PASSPHRASE, store="5e" * 16, created_ms=0, cost=CHEAP)
    for piece in pieces:
        assert sealer.write(piece) == len(piece)
    sealer.finish()
    opener = Opener(io.BytesIO(file.getvalue()), PASSPHRASE)
    assert b"".join(iter(lambda: opener.read(size), b"")) == b"".join(pieces)


def test_the_header_says_what_the_file_is() -> None:
    """Magic, format, costs, store, time, salt and prefix are in its first 59 bytes: a frozen format."""
    file = sealed(b"x", Cost(log_n=5, r=2, p=3))
    fields = struct.unpack(">8sBBBB16sQ16s7s", file[:HEADER])
    assert fields[:7] == (b"SNBACKUP", 1, 5, 2, 3, bytes.fromhex("5e" * 16), 1_795_000_000_000)
    assert Header.read(io.BytesIO(file)).pack() == file[:HEADER]


def test_a_file_of_this_format_opens_for_ever() -> None:
    """A golden file: store, salt and prefix are zeros."""
    header = b"SNBACKUP" + bytes([1, 4, 8, 1]) + bytes(16 + 8 + 16 + 7)
    assert opened(header + bytes.fromhex("ff3a1af1af19f7772c0ddcb9212d8041beec022c525f")) == b"golden"


def test_another_passphrase_opens_nothing() -> None:
    """The message says so, and does not repeat it."""
    with pytest.raises(BackupError, match="the passphrase is wrong, or the file is damaged or incomplete"):
        opened(sealed(b"x" * 100_000), Secret("another passphrase"))


def test_equal_contents_give_different_files() -> None:
    """Salt and prefix are new for each file."""
    assert sealed(b"x")[HEADER:] != sealed(b"x")[HEADER:]


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file[:-1],  # cut off
        lambda file: file[: HEADER + 2 * CHUNK],  # cut off between two chunks
        lambda file: file[:HEADER],
        lambda file: file + b"x",
        lambda file: file + file[-CHUNK:],
        lambda file: file[:HEADER] + file[HEADER + CHUNK :],  # the first chunk is missing
        lambda file: file[: HEADER + CHUNK] + file[HEADER + 2 * CHUNK :],
        lambda file: file[:HEADER] + file[HEADER + CHUNK : HEADER + 2 * CHUNK] + file[HEADER : HEADER + CHUNK]
        + file[HEADER + 2 * CHUNK :],  # two chunks swapped
        lambda file: file[: HEADER + CHUNK] + file[HEADER:],  # the first chunk twice
        lambda file: sealed(b"y" * 200_000)[:HEADER] + file[HEADER:],  # another file's header
    ],
)  # fmt: skip
def test_chunks_cannot_be_dropped_moved_or_added(change: object) -> None:
    """Every change to the order or number of chunks is an error."""
    file = sealed(b"x" * 200_000)
    with pytest.raises(BackupError):
        opened(change(file))  # type: ignore[operator]


@pytest.mark.parametrize("at", [0, 8, 9, 12, 28, 36, 52, HEADER, HEADER + 70_000, -1])
def test_no_bit_can_be_flipped(at: int) -> None:
    """Neither in the header nor in a chunk."""
    file = bytearray(sealed(b"x" * 200_000))
    file[at] ^= 1
    with pytest.raises(BackupError):
        opened(bytes(file))


@pytest.mark.parametrize(
    "cost",
    [Cost(255, 255, 255), Cost(23, 8, 1), Cost(17, 8, 255), Cost(17, 255, 1), Cost(0), Cost(17, 0, 1)],
)
def test_absurd_costs_are_refused_at_once(cost: Cost) -> None:
    """A forged header cannot make this machine spend its memory or its time."""
    header = replace(Header.read(io.BytesIO(sealed(b""))), cost=cost)
    with leaving_nothing(most_bytes=2**20), pytest.raises(BackupError, match="damaged or forged"):
        opened(header.pack() + b"x" * 100)


def test_the_usual_cost_is_bearable_and_twice_dearer_too() -> None:
    """Backups of a later version may cost more."""
    assert Cost() == Cost(17, 8, 1)
    assert Cost().bearable
    assert Cost(log_n=18).bearable


def test_memory_does_not_grow_with_the_file(tmp_path: object) -> None:
    """64 MiB are written and read with a few MiB of memory."""
    path = tmp_path / "large"  # type: ignore[operator]
    with leaving_nothing(most_bytes=8 * 2**20):
        with path.open("wb") as file:
            sealer = Sealer(file, PASSPHRASE, store="5e" * 16, created_ms=0, cost=CHEAP)
            for _ in range(1024):
                sealer.write(bytes(65_536))
            sealer.finish()
        with path.open("rb") as file:
            reader = io.BufferedReader(Opener(file, PASSPHRASE))
            assert sum(map(len, iter(lambda: reader.read(65_536), b""))) == 2**26
