"""Files that a user names are read only if they are regular and not too large."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from supernova_ai import InvalidRequest
from supernova_ai.advisor.bars import load_csv
from supernova_ai.cli.options import read_text
from supernova_ai.config import Attachments
from supernova_ai.paths import open_regular
from supernova_ai.requests.attachments import attach
from supernova_ai.types import Request
from supernova_ai.upkeep import provider_bills

REQUEST = Request("r", ({"role": "user", "content": "What is this?"},), "standard", "chat", 10)

READERS: dict[str, Callable[[Path], object]] = {
    "bars": load_csv,
    "bills": lambda path: list(provider_bills.read_bills(path, {"id": "id", "cost": "cost"})),
    "attachment": lambda path: attach(REQUEST, [path], Attachments()),
}


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return {
        "pipe": pipe,
        "device": Path("/dev/zero"),
        "folder": tmp_path,
        "missing": tmp_path / "missing",
        "nul": Path(f"{tmp_path}/a\0b"),
        "surrogate": Path(f"{tmp_path}/a\ud800b"),
    }


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing", "nul", "surrogate"])
@pytest.mark.parametrize("reader", READERS)
def test_pipes_and_devices_are_refused(reader: str, kind: str, odd: dict[str, Path]) -> None:
    """Every reader refuses a pipe, which would block, and a device, which would never end."""
    with pytest.raises(InvalidRequest, match="cannot be read"):
        READERS[reader](odd[kind])


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "missing", "nul", "surrogate"])
def test_a_command_reads_text_from_regular_files_only(kind: str, odd: dict[str, Path]) -> None:
    """Texts for commands (analyze, --news, keys add --file …) are read the same way."""
    with pytest.raises(typer.BadParameter, match="cannot be read as text"):
        read_text(odd[kind])


def test_a_file_has_a_size_limit(tmp_path: Path) -> None:
    """A file above the limit is refused before it is read."""
    path = tmp_path / "large"
    path.write_bytes(b"x" * 11)
    with open_regular(path, 11) as file:
        assert file.read() == b"x" * 11
    with pytest.raises(OSError, match="larger than 0 MiB"):
        open_regular(path, 10)
