"""``supernova demo``, from end to end with the real local model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Supernova


@pytest.mark.proof
def test_demo(script: str, tmp_path: Path, supernova_home: Path) -> None:
    """The demo shows answers after a failover, a refusal and the ledger, and leaves no files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    run = subprocess.run(
        [script, "demo"], capture_output=True, text=True, env=os.environ | {"TMPDIR": str(temporary)}
    )
    assert (run.returncode, run.stderr) == (0, "")
    shown = run.stdout
    assert shown.count("after anthropic (ProviderUnavailable)") == 2
    refused = "refused, nothing was sent: budget 'thrifty' (user 'thrifty') is too low for this"
    assert refused in " ".join(shown.split())
    attempts, _, totals = shown.partition("Attempts, latest last")[2].partition("By provider and model")
    assert (attempts.count("released"), attempts.count("settled")) == (2, 2)
    tokens = re.findall(r"(\d+)\+(\d+)", attempts)
    assert len(tokens) == 2
    assert all(int(prompt) > 10 and int(completion) > 0 for prompt, completion in tokens)
    assert max(map(len, (attempts + totals).splitlines())) <= 80
    assert not re.search(r"\bsk-", shown)  # a key, but not the "risk-free" that the model may write
    assert list(temporary.iterdir()) == []
    assert not supernova_home.exists()


def test_demo_without_the_extra_says_how_to_get_it(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the local extra the demo exits with 1 and the command that installs it."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    result = supernova("demo")
    assert result.code == 1
    assert "uv sync --extra local" in result.err


@pytest.mark.proof
def test_demo_of_an_outage(script: str, tmp_path: Path, supernova_home: Path) -> None:
    """A provider fails during an answer: the text continues, the breaker opens, and closes on recovery."""
    run = subprocess.run([script, "demo", "--outage"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    shown = " ".join(run.stdout.split())
    assert re.search(r"✂ .*— openai \(\w+\) → huggingface \(answered\)", shown)
    down, back = shown.split("The first is back;")
    assert "cooling down" in down
    assert "cooling down" not in back
    assert "— openai (answered)" in back
    assert not re.search(r"\bsk-", shown)  # a key, but not the "risk-free" that the model may write
    assert not supernova_home.exists()
