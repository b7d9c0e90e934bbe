"""``supernova metrics``: printed, or as a file for the node exporter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.cli import metrics
from tests.cli.conftest import KEY, Supernova
from tests.promtool import promtool


@pytest.fixture(autouse=True)
def _configured(configure: Callable[..., Path], supernova: Supernova) -> None:
    configure("http://127.0.0.1:9")
    supernova("keys", "add", "openai", stdin=KEY)


def test_they_are_printed(supernova: Supernova) -> None:
    """Standard output has the exposition and nothing else."""
    shown = supernova("metrics")
    assert (shown.code, shown.err) == (0, "")
    assert 'supernova_key_active_since_timestamp_seconds{key_slot="primary",provider="openai"} ' in shown.out
    assert shown.out.startswith("# HELP supernova_attempts_total ")


def test_promtool_finds_no_fault(supernova: Supernova) -> None:
    """Prometheus' own checker accepts names, units, types and help texts."""
    assert promtool("check", "metrics", text=supernova("metrics").out) == (0, "")


def test_a_file_for_the_node_exporter(supernova: Supernova, tmp_path: Path) -> None:
    """It replaces the one before, every user may read it, and nothing else is left in the folder."""
    folder = tmp_path / "textfile"
    folder.mkdir()
    file = folder / "supernova.prom"
    file.write_text("old")
    file.chmod(0o600)
    before = os.umask(0o077)
    try:
        written = supernova("metrics", "--textfile", str(file))
    finally:
        os.umask(before)
    assert (written.code, written.out) == (0, "")
    assert file.read_text() == supernova("metrics").out
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "message"),
    [("metrics.txt", "reads only files that end in .prom"), ("none/x.prom", "cannot be written")],
)
def test_a_file_that_cannot_be_used(supernova: Supernova, name: str, message: str) -> None:
    """Another name would never be read, so it is refused; so is a folder that does not exist."""
    refused = supernova("metrics", "--textfile", name)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_a_database_is_not_made(supernova: Supernova, configure: Callable[..., Path]) -> None:
    """The command only reads: where nothing was called yet, it says so and makes nothing."""
    configure("http://127.0.0.1:9", database="new.db")
    refused = supernova("metrics")
    assert refused.code == 7
    assert "there is no database" in refused.err
    assert not Path("new.db").exists()


def test_without_the_extra(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says what to install."""
    monkeypatch.setattr(metrics, "find_spec", lambda _: None)
    refused = supernova("metrics")
    assert refused.code == 1
    assert "pip install 'supernova-ai[metrics]'" in refused.err
