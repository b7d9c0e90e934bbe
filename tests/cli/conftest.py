from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from supernova_ai.cli import app, main

KEY = "sk-test-0123456789abcdef"
"""Has the shape of OpenAI's keys."""


@dataclass(frozen=True, slots=True)
class Result:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Supernova = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a master key, on a terminal of 80 columns without colours."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)
    monkeypatch.setattr(app, "forbid_core_dumps", lambda: None)  # it would stay so for the tests after
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def supernova(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Supernova:
    """Run a command in this process as the installed script does; ``stdin`` is text or bytes."""

    def run(*arguments: str, stdin: str | bytes = b"") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["supernova", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Result(code, out, err)

    return run


@pytest.fixture
def script() -> str:
    """The installed ``supernova`` script."""
    return os.path.join(os.path.dirname(sys.executable), "supernova")  # noqa: PTH118, PTH120 - a venv's link


@pytest.fixture
def configure(folder: Path) -> Callable[..., Path]:
    """Write ``config/supernova.yaml`` with the provider openai at this address, and more settings."""

    def write(url: str, **settings: Any) -> Path:
        models = {"economy": "gpt-6-luna", "standard": "gpt-6.1-sol", "premium": "gpt-6-astra"}
        openai = {"api_base": f"{url}/v1", "models": models, "keys": ["primary"]}
        routing = {"priority": ["openai"], "retries": 0}
        file = folder / "config" / "supernova.yaml"
        file.parent.mkdir(exist_ok=True)
        # JSON is YAML.
        file.write_text(json.dumps({"providers": {"openai": openai}, "routing": routing, **settings}))
        return file

    return write
