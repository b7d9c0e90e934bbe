"""Unusual environments: every public function and command works in them, or raises a SupernovaError."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from supernova_ai.testing import StubProvider
from supernova_ai.testing.stub import closed_port
from tests.advisor.sample_advice import CSV

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[1]
_OURS = ("HOME", "PROXY", "BASE", "TZ", "LC_", "LANG", "XDG_", "SSL", "LITELLM", "SUPERNOVA", "_API_KEY")


def walk(
    folder: Path, stub: StubProvider, inside: str, environment: dict[str, str], *, database: bool = True
) -> tuple[dict[str, str], str]:
    """Call everything in a process with this environment; return how each call ended, and the log."""
    settings = {
        "providers": {
            "openai": {
                "api_base": f"{stub.url}/v1",
                "models": {"standard": "gpt-4o-mini", "embedding": "text-embedding-3-small"},
                "keys": ["primary"],
            }
        },
        "routing": {"priority": ["openai"], "retries": 0},
        "budgets": [{"name": "daily", "limit": 10, "per": "day", "time_zone": "Europe/Paris"}],
    }
    if database:
        settings["database"] = str(folder / "supernova.db")
    (folder / "supernova.yaml").write_text(yaml.safe_dump(settings))
    (folder / "bars.csv").write_text(CSV.read_text())
    kept = {name: value for name, value in os.environ.items() if not any(n in name.upper() for n in _OURS)}
    ours = {
        "SUPERNOVA_CONFIG": str(folder / "supernova.yaml"),
        "API_KEY_ENCRYPTION_KEY": "5e" * 32,
        "OPENAI_API_KEY": "sk-test-0123456789abcdef",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.every_call", inside],
        env=kept | ours | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    assert not [f"{name}: {end}" for name, end in found.items() if end.startswith("RAW")]
    return found, done.stderr


@pytest.fixture
def stub() -> Iterator[StubProvider]:
    with StubProvider("Diversify, always.") as stub:
        yield stub


ODD: dict[str, tuple[str, dict[str, str]]] = {
    # No home, no time zones, unusable proxies, base URLs of other clients, an ASCII locale.
    "odd machine": (
        "no_home",
        {
            "PYTHONTZPATH": "",
            "TZ": "Nowhere/At_All",
            "HTTP_PROXY": "{dead}",
            "HTTPS_PROXY": "{dead}",
            "ALL_PROXY": "socks5://127.0.0.1:9",
            "NO_PROXY": "::1,[fe80::1],fd00::/8",
            "OPENAI_BASE_URL": "{dead}",
            "OPENAI_API_BASE": "{dead}",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
    ),
    "litellm imported before": ("litellm_first", {"HTTPS_PROXY": "{dead}"}),
}


@pytest.mark.parametrize("odd", ODD)
def test_everything_works_in_an_odd_environment(odd: str, tmp_path: Path, stub: StubProvider) -> None:
    """Calls and commands to a model on this machine work without what these environments lack."""
    inside, variables = ODD[odd]
    with closed_port() as port:
        given = {name: value.format(dead=f"http://127.0.0.1:{port}") for name, value in variables.items()}
        found, said = walk(tmp_path, stub, inside, given)
    failed = {name: end for name, end in found.items() if not end.startswith(("ok", "0"))}
    # No request is in the ledger yet, and no configured provider has a model for rankings.
    refused = {"feedback": "InvalidRequest: the ledger", "rerank": "NoProvider: no enabled provider"}
    for name, end in failed.items():
        if not name.startswith("supernova "):
            function = name.removeprefix("Supernova.").removesuffix("_sync")
            assert end.startswith(refused[function]), name
    commands = {
        "supernova chat What now?",
        "supernova health check",
        "supernova costs",
        "supernova prompts list",
    }
    assert commands.isdisjoint(failed), failed
    assert ("engine.litellm.imported_before" in said) == (inside == "litellm_first")


@pytest.mark.parametrize(
    ("database", "variables", "named"),
    [(False, {}, "SUPERNOVA_HOME"), (True, {"SSLKEYLOGFILE": "/nowhere/keys.log"}, "SSLKEYLOGFILE")],
    ids=["no home", "key log"],
)
def test_unusable_environment_is_one_clear_error(
    tmp_path: Path, stub: StubProvider, database: bool, variables: dict[str, str], named: str
) -> None:
    """If the data has no place, or TLS cannot work, every call is a ConfigError that names the variable."""
    found, _ = walk(tmp_path, stub, "no_home", variables, database=database)
    assert found["chat"].startswith("ConfigError")
    assert named in found["chat"]
    assert found["supernova chat What now?"].startswith("3 ")
    assert stub.chats == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("~")) == []
