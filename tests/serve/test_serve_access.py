"""Who may ask: the token, the header Host, and what keeps pages of the web out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from supernova_ai import ConfigError, ExtraMissing, InvalidRequest, Supernova, default_client, serve
from supernova_ai.serve import create_app
from tests.serve.conftest import HELLO, TOKEN


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer ë"],
)
def test_the_token_is_required(http: TestClient, given: str | None) -> None:
    """Without the token, or with another, every path is a 401 that repeats nothing of it."""
    del http.headers["authorization"]
    headers = {} if given is None else {"authorization": given.encode()}
    for response in (
        http.get("/v1/models", headers=headers),  # type: ignore[arg-type]
        http.get("/none", headers=headers),  # type: ignore[arg-type]
        http.post("/v1/chat/completions", content=b"{", headers=headers),  # type: ignore[arg-type]
    ):
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert response.headers["www-authenticate"] == "Bearer"
        assert "token-of" not in response.text


def test_health_needs_no_token(http: TestClient) -> None:
    """Whoever starts and stops servers has no token; another path, however it is written, needs it."""
    del http.headers["authorization"]
    assert http.get("/health/live").status_code == 200
    assert http.get("/health/ready").json()["checks"]["master key"] == "ok"
    for path in ("/metrics", "/health/live/", "/health/live/../../v1/models", "/health/%2e%2e/v1/models"):
        assert http.get(path).status_code == 401, path


@pytest.mark.parametrize("prefix", ["", "/llm"])
def test_metrics_need_the_token_unless_they_are_open(nova: Supernova, prefix: str) -> None:
    """``open_metrics`` opens this path alone, also where the application is mounted."""
    for opened, status in ((False, 401), (True, 200)):
        app = create_app(nova, token=TOKEN, open_metrics=opened)
        mounted = Starlette(routes=[Mount(prefix, app)]) if prefix else app
        http = TestClient(mounted, base_url="http://127.0.0.1")
        assert http.get(f"{prefix}/metrics").status_code == status
        assert http.get(f"{prefix}/health/live").status_code == 200
        assert http.get(f"{prefix}/v1/models").status_code == 401
        with_token = http.get(f"{prefix}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert "supernova_build_info" in with_token.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8765", "[::1]:8765"])
def test_names_of_this_machine_are_answered(http: TestClient, host: str) -> None:
    """A client on this machine may call the server by each of its names, with a port."""
    assert http.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "localhost@a", ""])
def test_other_names_are_refused(http: TestClient, host: str) -> None:
    """A page of the web cannot reach the server by a name of its own that leads to this machine."""
    assert http.get("/v1/models", headers={"host": host}).status_code == 400


def test_a_program_says_by_which_names_it_is_called(nova: Supernova) -> None:
    """``hosts`` lists them; None answers all."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    for hosts, status in ((["llm.example"], 200), (None, 200), (["other.example"], 400), ([], 400)):
        app = create_app(nova, token=TOKEN, hosts=hosts)
        found = TestClient(app, base_url="https://llm.example", headers=headers).get("/v1/models")
        assert found.status_code == status


def test_no_page_of_the_web_may_ask(http: TestClient) -> None:
    """No header of an answer lets a browser's page read it, and its preflight request is refused."""
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    for response in (
        http.options("/v1/chat/completions", headers=preflight),
        http.post("/v1/chat/completions", json={"model": "default", "messages": HELLO}, headers=preflight),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]
    assert http.options("/v1/chat/completions", headers=preflight).status_code == 405


@pytest.mark.parametrize("token", ["", "short", "token-with-ümlauts-in-it"])
def test_a_weak_token_is_refused(nova: Supernova, token: str) -> None:
    """A token has at least 16 characters in ASCII; the error does not repeat it."""
    with pytest.raises(InvalidRequest, match="at least 16 characters in ASCII") as raised:
        create_app(nova, token=token)
    assert not token or token not in str(raised.value)


def test_the_application_of_the_environment(
    nova: Supernova, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``supernova_ai.serve:app`` serves the default client, and only with a token in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_client, "_default", nova)
    with pytest.raises(ConfigError, match="SUPERNOVA_SERVE_TOKEN is not set"):
        _ = serve.app
    monkeypatch.setenv("SUPERNOVA_SERVE_TOKEN", "short")
    with pytest.raises(ConfigError, match="SUPERNOVA_SERVE_TOKEN: the token must be"):
        _ = serve.app
    monkeypatch.setenv("SUPERNOVA_SERVE_TOKEN", TOKEN)
    app = serve.app
    monkeypatch.delitem(vars(serve), "app")
    with TestClient(app, base_url="http://127.0.0.1", headers={"authorization": f"Bearer {TOKEN}"}) as http:
        assert nova._is_open()  # its start has opened the client
        assert http.get("/v1/models").status_code == 200


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Starlette, the error says what to install."""
    monkeypatch.delitem(vars(serve), "create_app", raising=False)
    monkeypatch.setattr(serve, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'supernova-ai\[serve\]'"):
        _ = serve.create_app


def test_importing_does_nothing() -> None:
    """Importing the module imports neither Starlette nor LiteLLM."""
    program = "import sys, supernova_ai.serve; print({'starlette', 'litellm'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
