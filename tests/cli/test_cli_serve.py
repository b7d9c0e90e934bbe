"""``supernova serve``: where it listens, its token, and its end."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from supernova_ai import config as configuration
from supernova_ai.testing import Hang, StubProvider
from tests import clients
from tests.cli.conftest import KEY, Supernova
from tests.servers import self_signed

TOKEN = "a-token-of-this-test"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines"),
        (["--host", "::"], "give --certfile and --keyfile, or --without-tls"),
        (["--keyfile", "key.pem"], "--keyfile needs --certfile"),
        (["--host", "192.0.2.1", "--without-tls"], "cannot listen at 192.0.2.1, port 8765"),
        (["--certfile", "none.pem", "--port", "0"], "the certificate cannot be used"),
    ],
)
def test_where_it_may_listen(
    supernova: Supernova, configure: Callable[..., Path], options: list[str], message: str
) -> None:
    """Beyond this machine it listens only with TLS, or if it is told to do without."""
    configure("http://127.0.0.1:9")
    refused = supernova("serve", *options)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_a_token_is_private(supernova: Supernova, configure: Callable[..., Path], file: Path) -> None:
    """A file that others may read is refused, and so is a token that is too short; neither is shown."""
    configure("http://127.0.0.1:9")
    file.chmod(0o644)
    refused = supernova("serve", "--token-file", str(file))
    assert refused.code == 2
    assert "has mode 0644, so other users may read or change it" in " ".join(refused.err.split())
    file.chmod(0o600)
    file.write_text("short")
    refused = supernova("serve", "--token-file", str(file), "--port", "0")
    assert "the token must be at least 16 characters" in " ".join(refused.err.split())
    assert "short" not in refused.err


Start = Callable[..., "Served"]


class Served:
    """A running ``supernova serve``: its address, and the token that it made, if any."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        self.process = process
        said = process.stderr.readline()
        found = re.fullmatch(r"listening at (https?://127\.0\.0\.1:\d+/v1)\n", said)
        assert found, said
        self.address = found[1]

    def token(self) -> str:
        assert self.process.stderr
        *_, token = self.process.stderr.readline().split()
        return token

    def end(self, number: signal.Signals) -> str:
        """Send the signal; return what it said on standard error after that, when it has ended."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return errors


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify, always.")


@pytest.fixture
def start(
    script: str,
    supernova: Supernova,
    stub: StubProvider,
    configure: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:
    """Start the command with these options, and wait until it listens."""
    configure(stub.url, health={"probes": "off"})
    master = os.environ["API_KEY_ENCRYPTION_KEY"]
    supernova("keys", "add", "openai", stdin=KEY)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", master)  # the command took it out
    with ExitStack() as started:

        def run(*options: str, **variables: str) -> Served:
            process = subprocess.Popen(
                [script, "serve", "--port", "0", *options],
                env=os.environ | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.callback(process.kill)
            return Served(process)

        yield run


BODY: dict[str, Any] = {"model": "standard", "messages": [{"role": "user", "content": "What now?"}]}


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_makes_a_token_and_ends_cleanly(start: Start, number: signal.Signals) -> None:
    """It shows a new token once, answers those who send it, and exits with 0 when it is told to stop."""
    served = start()
    token = served.token()
    assert re.fullmatch(r"[0-9a-f]{48}", token)
    asked = httpx.post(
        f"{served.address}/chat/completions", json=BODY, headers={"x-api-key": token}, timeout=60
    )
    assert asked.status_code == 401
    headers = {"authorization": f"Bearer {token}"}
    asked = httpx.post(f"{served.address}/chat/completions", json=BODY, headers=headers, timeout=60)
    assert asked.json()["choices"][0]["message"]["content"] == "Diversify, always."
    assert served.end(number) == ""
    assert served.process.returncode == 0


@pytest.mark.proof
def test_stopping_settles_what_runs(start: Start, stub: StubProvider, file: Path) -> None:
    """A stream that does not end gets an error after some seconds, and its hold is settled."""
    stub.reply = Hang(after_tokens=2)
    served = start("--token-file", str(file))
    headers = {"authorization": f"Bearer {TOKEN}"}
    database = Path(configuration.load().database)
    with httpx.stream(
        "POST",
        f"{served.address}/chat/completions",
        json=BODY | {"stream": True},
        headers=headers,
        timeout=60,
    ) as response:
        lines = response.iter_lines()
        while "This" not in next(lines):
            pass
        assert [row.state for row in clients.attempts(database)] == ["held"]
        errors = served.end(signal.SIGTERM)
        assert '"code": "no_provider"' in "".join(lines)
    assert served.process.returncode == 0
    assert "error=Cancelled" in errors
    assert "Traceback" not in errors
    assert [row.state for row in clients.attempts(database)] == ["settled"]


@pytest.mark.proof
def test_it_serves_tls(start: Start, tmp_path: Path) -> None:
    """With a certificate it speaks https alone; the token may come from the environment."""
    certificate = self_signed(tmp_path / "cert.pem")
    served = start("--certfile", str(certificate), SUPERNOVA_SERVE_TOKEN=TOKEN)
    assert served.address.startswith("https://")
    models = httpx.get(
        f"{served.address}/models",
        timeout=60,
        headers={"authorization": f"Bearer {TOKEN}"},
        verify=ssl.create_default_context(cafile=certificate),
    )
    assert models.json()["data"][0]["id"] == "openai/gpt-6-luna"
