"""The pytest plugin, used as an advisor team would: each test here runs a small suite of its own.

It runs as a process of its own, since what it imports must not mix with what this run has imported.
"""

from __future__ import annotations

import os
import subprocess
import sys

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


def test_loads_nothing_heavy() -> None:
    """Loading the plugin, as every pytest run does, imports neither LiteLLM, a model, vcrpy nor pydantic."""
    program = (
        "import sys, supernova_ai.testing.plugin\n"
        "heavy = {'litellm', 'xllamacpp', 'vcr', 'pydantic', 'peewee'}\n"
        "print(heavy & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_stub_provider_closes_what_it_made(pytester: pytest.Pytester) -> None:
    """Every stub made by the fixture answers during the test and is closed after it."""
    pytester.makepyfile(
        """
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
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_supernova_home_isolates(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home fixture moves every user folder into tmp_path and hides the provider's settings."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("HUGGINGFACE_API_TOKEN_BACKUP", "hf_real")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-real")
    monkeypatch.setenv("LLM_DAILY_COST_LIMIT", "1")
    monkeypatch.setenv("SUPERNOVA_ENV", "production")
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "secret")
    monkeypatch.setenv("UNRELATED", "kept")
    pytester.makepyfile(
        """
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
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert os.environ["OPENAI_API_KEY"] == "sk-real"


def test_no_real_providers_refuses_and_fails(pytester: pytest.Pytester) -> None:
    """Reaching beyond this machine is refused, and fails the test even if it swallowed the refusal."""
    pytester.makepyfile(
        """
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
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=4, errors=4)
    result.stdout.fnmatch_lines(["*the test reached for api.openai.com: use a stub or a cassette*"])


def test_no_real_providers_lets_loopback_through(pytester: pytest.Pytester) -> None:
    """Loopback by name or address stays open, from sync and async code, and all is as before afterwards."""
    pytester.makeini("[pytest]\nasyncio_mode = auto")
    pytester.makepyfile(
        """
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
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)


def test_cassette_is_recorded_then_replayed(pytester: pytest.Pytester) -> None:
    """Recorded with the option, a test replays from cassettes/<module>/<test>.yaml without its server."""
    pytester.makepyfile(test_advice=RECORDED_TEST)
    pytester.runpytest_subprocess("--record-cassettes").assert_outcomes(passed=1)
    tape = pytester.path / "cassettes" / "test_advice" / "test_it.yaml"
    assert "http://loopback/v1/chat/completions" in tape.read_text()
    before = tape.stat().st_mtime_ns
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert tape.stat().st_mtime_ns == before


def test_recording_by_environment(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """SUPERNOVA_RECORD=1 records as the option does."""
    monkeypatch.setenv("SUPERNOVA_RECORD", "1")
    pytester.makepyfile(test_advice=RECORDED_TEST)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert (pytester.path / "cassettes" / "test_advice" / "test_it.yaml").exists()


def test_recording_may_use_real_keys_and_providers(pytester: pytest.Pytester) -> None:
    """While recording, keys stay and a test with a cassette may reach out; one without may not."""
    pytester.makepyfile(
        """
        import os, socket

        os.environ["OPENAI_API_KEY"] = "sk-real"
        before = socket.socket.connect

        def test_recorded(supernova_home, no_real_providers, cassette):
            assert os.environ["OPENAI_API_KEY"] == "sk-real"
            assert socket.socket.connect is before

        def test_other(supernova_home, no_real_providers):
            assert socket.socket.connect is not before
        """
    )
    pytester.runpytest_subprocess("--record-cassettes").assert_outcomes(passed=2)


def test_unplayed_interaction_fails_the_test(pytester: pytest.Pytester) -> None:
    """A test that no longer sends what its cassette holds fails, and says which cassette."""
    pytester.makepyfile(test_advice=RECORDED_TEST + '        ask(url, "And then?")\n')
    pytester.runpytest_subprocess("--record-cassettes").assert_outcomes(passed=1)
    pytester.makepyfile(test_advice=RECORDED_TEST)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*1 of 2 interactions in *test_it.yaml were not played*"])


def test_missing_cassette_fails(pytester: pytest.Pytester) -> None:
    """A test whose cassette was never recorded says how to record it."""
    pytester.makepyfile(test_advice=RECORDED_TEST)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*record it with `pytest --record-cassettes`*"])


def test_local_model_skips_without_the_extra(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the local extra the test is skipped with the reason, but on a CI machine it is an error."""
    pytester.makeconftest("import supernova_ai.demo.local_model as it; it.find_spec = lambda name: None")
    pytester.makepyfile("def test_it(local_model): pass")
    monkeypatch.delenv("CI", raising=False)
    skipped = pytester.runpytest_subprocess("-rs")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["*uv sync --extra local*"])
    monkeypatch.setenv("CI", "true")
    pytester.runpytest_subprocess().assert_outcomes(errors=1)
