"""The pytest plugin, used as an advisor team would: a small suite is run, and each test looks at its part.

The suite runs in processes of its own, since what it imports must not mix with what this run has imported:
once to record its cassettes, and once as always.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

RECORDED_TEST = """
    import httpx
    from supernova_ai.testing import StubProvider

    def ask(url, text):
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        return httpx.post(url + "/v1/chat/completions", json=body).json()

    def test_it(cassette):
        url = cassette.serve(lambda: StubProvider("Buy low."))
        assert ask(url, "What now?")["choices"][0]["message"]["content"] == "Buy low."
"""
SUITE = {
    "conftest": "import supernova_ai.demo.local_model as it; it.find_spec = lambda name: None",
    "test_advice": RECORDED_TEST,
    "test_unplayed": RECORDED_TEST + '        ask(url, "And then?")\n',
    "test_real_keys": """
        import os, socket

        os.environ["OPENAI_API_KEY"] = "sk-real"
        before = socket.socket.connect

        def test_recorded(supernova_home, no_real_providers, cassette):
            assert os.environ["OPENAI_API_KEY"] == "sk-real"
            assert socket.socket.connect is before

        def test_other(supernova_home, no_real_providers):
            assert socket.socket.connect is not before
        """,
    "test_local": "def test_it(local_model): pass",
}
"""What runs while cassettes are recorded."""

MORE = {
    "test_unplayed": RECORDED_TEST,
    "test_missing": RECORDED_TEST,
    "test_stub": """
        import httpx, pytest
        urls = []

        def test_two(stub_provider):
            urls.extend(stub_provider(text).url for text in ("one", "two"))
            for url in urls:
                assert httpx.post(url + "/api/chat", json={"stream": False}).status_code == 200

        def test_closed():
            for url in urls:
                with pytest.raises(httpx.ConnectError):
                    httpx.get(url)
        """,
    "test_home": """
        import os, platformdirs
        from pathlib import Path

        def test_it(supernova_home, tmp_path):
            assert Path(os.environ["SUPERNOVA_HOME"]) == supernova_home == tmp_path / "supernova"
            places = [Path.home(), platformdirs.user_data_path("x"), platformdirs.user_config_path("x")]
            assert all(place.is_relative_to(tmp_path) for place in places)
            left = [name for name in os.environ if name.startswith(("LLM_", "SUPERNOVA_", "API_KEY_"))]
            assert left == ["SUPERNOVA_HOME"]
            assert not [name for name in os.environ if "_API_" in name]
            assert os.environ["UNRELATED"] == "kept"

        def test_all_is_back():
            assert os.environ["GROQ_API_KEY"] == "gsk-real"
        """,
    "test_out": """
        import socket, pytest

        @pytest.mark.parametrize("address", [("api.openai.com", 443), ("192.0.2.1", 443)])
        def test_out(no_real_providers, address):
            with pytest.raises(ConnectionRefusedError, match="only this machine is allowed"):
                socket.create_connection(address, timeout=1)

        @pytest.mark.parametrize("address", [("192.0.2.1", 443), ("2001:db8::1", 443)])
        def test_out_ex(no_real_providers, address):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            with socket.socket(family) as s, pytest.raises(ConnectionRefusedError):
                s.connect_ex(address)
        """,
    "test_in": """
        import asyncio, httpx, pytest, socket
        before = socket.socket.connect, socket.getaddrinfo

        @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
        async def test_in(no_real_providers, stub_provider, host):
            url = stub_provider().url.replace("127.0.0.1", host) + "/api/chat"
            async with httpx.AsyncClient() as client:
                assert (await client.post(url, json={"stream": False})).status_code == 200
            sync = await asyncio.to_thread(httpx.post, url, json={"stream": False})
            assert sync.status_code == 200

        def test_after():
            assert (socket.socket.connect, socket.getaddrinfo) == before
        """,
}
"""What runs as always, after the cassettes were recorded: a test of them has changed since."""

SETTINGS = {
    "OPENAI_API_KEY": "sk-real",
    "HUGGINGFACE_API_TOKEN_BACKUP": "hf_real",
    "GROQ_API_KEY": "gsk-real",
    "LLM_DAILY_COST_LIMIT": "1",
    "SUPERNOVA_ENV": "production",
    "API_KEY_ENCRYPTION_KEY": "secret",
    "UNRELATED": "kept",
}


class Ran(NamedTuple):
    """What became of the tests of each file, and what pytest said."""

    outcomes: dict[str, Counter[str]]
    said: str

    @classmethod
    def of(cls, folder: Path, files: dict[str, str], *options: str, **environment: str) -> Ran:
        """Write the files into the folder, and run all that is there."""
        for name, text in files.items():
            (folder / f"{name}.py").write_text(dedent(text))
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")
        }
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-rA",
                "-p",
                "no:cacheprovider",
                "--asyncio-mode=auto",
                *options,
            ],
            cwd=folder,
            env=inherited | environment,
            capture_output=True,
            text=True,
        )
        outcomes: dict[str, Counter[str]] = {}
        for outcome, name in re.findall(r"^([A-Z]+) (?:\[1\] )?(\w+)\.py:", run.stdout, re.MULTILINE):
            outcomes.setdefault(name, Counter())[outcome.lower()] += 1
        return cls(outcomes, run.stdout + run.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suite")


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Ran:
    """The suite while it records, on a CI machine."""
    return Ran.of(folder, SUITE, "--record-cassettes", CI="true")


@pytest.fixture(scope="module")
def tape(folder: Path, recorded: Ran) -> tuple[Path, int]:
    """A cassette, and when it was recorded."""
    tape = folder / "cassettes" / "test_advice" / "test_it.yaml"
    return tape, tape.stat().st_mtime_ns


@pytest.fixture(scope="module")
def usual(folder: Path, tape: tuple[Path, int]) -> Ran:
    """The suite as always, after it was recorded."""
    return Ran.of(folder, MORE, **SETTINGS)


def test_loads_nothing_heavy() -> None:
    """Loading the plugin, as every pytest run does, imports neither LiteLLM, a model, vcrpy nor pydantic."""
    program = (
        "import sys, supernova_ai.testing.plugin\n"
        "heavy = {'litellm', 'xllamacpp', 'vcr', 'pydantic', 'peewee'}\n"
        "print(heavy & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


@pytest.mark.proof
def test_stub_provider_closes_what_it_made(usual: Ran) -> None:
    """Every stub made by the fixture answers during the test and is closed after it."""
    assert usual.outcomes["test_stub"] == {"passed": 2}, usual.said


def test_supernova_home_isolates(usual: Ran) -> None:
    """The home fixture moves every user folder into tmp_path and hides the provider's settings meanwhile."""
    assert usual.outcomes["test_home"] == {"passed": 2}, usual.said


def test_no_real_providers_refuses_and_fails(usual: Ran) -> None:
    """Reaching beyond this machine is refused, and fails the test even if it swallowed the refusal."""
    assert usual.outcomes["test_out"] == {"passed": 4, "error": 4}, usual.said
    assert "the test connected to api.openai.com: use a stub or a cassette" in usual.said


def test_no_real_providers_lets_loopback_through(usual: Ran) -> None:
    """Loopback by name or address stays open, from sync and async code, and all is as before afterwards."""
    assert usual.outcomes["test_in"] == {"passed": 3}, usual.said


def test_cassette_is_recorded_then_replayed(recorded: Ran, usual: Ran, tape: tuple[Path, int]) -> None:
    """Recorded with the option, a test replays from cassettes/<module>/<test>.yaml without its server."""
    assert recorded.outcomes["test_advice"] == usual.outcomes["test_advice"] == {"passed": 1}, usual.said
    path, written = tape
    assert "http://loopback/v1/chat/completions" in path.read_text()
    assert path.stat().st_mtime_ns == written


@pytest.mark.proof
def test_recording_by_environment(tmp_path: Path) -> None:
    """SUPERNOVA_RECORD=1 records as the option does."""
    ran = Ran.of(tmp_path, {"test_advice": RECORDED_TEST}, SUPERNOVA_RECORD="1")
    assert ran.outcomes == {"test_advice": {"passed": 1}}, ran.said
    assert (tmp_path / "cassettes" / "test_advice" / "test_it.yaml").exists()


def test_recording_may_use_real_keys_and_providers(recorded: Ran) -> None:
    """While recording, keys stay and a test with a cassette may reach out; one without may not."""
    assert recorded.outcomes["test_real_keys"] == {"passed": 2}, recorded.said


def test_unplayed_interaction_fails_the_test(recorded: Ran, usual: Ran) -> None:
    """A test that no longer sends what its cassette holds fails, and says which cassette."""
    assert recorded.outcomes["test_unplayed"] == {"passed": 1}, recorded.said
    assert usual.outcomes["test_unplayed"] == {"failed": 1}, usual.said
    assert re.search(r"1 of 2 interactions in .*test_unplayed/test_it\.yaml were not played", usual.said)


def test_missing_cassette_fails(usual: Ran) -> None:
    """A test whose cassette was never recorded says how to record it."""
    assert usual.outcomes["test_missing"] == {"error": 1}, usual.said
    assert "record it with `pytest --record-cassettes`" in usual.said


def test_local_model_skips_without_the_extra(recorded: Ran, usual: Ran) -> None:
    """Without the local extra the test is skipped with the reason, but on a CI machine it is an error."""
    assert usual.outcomes["test_local"] == {"skipped": 1}, usual.said
    assert "uv sync --extra local" in usual.said
    assert recorded.outcomes["test_local"] == {"error": 1}, recorded.said
