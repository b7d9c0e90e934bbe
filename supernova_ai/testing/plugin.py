"""The pytest plugin: fixtures for tests of code that calls models, without keys, costs and network.

stub_provider      start a provider with scripted answers, for any of the four APIs
local_model        a real language model on this machine, one for the whole run
cassette           record the HTTP requests of the test once, then replay them
supernova_home     give the test its own folders, without provider settings
no_real_providers  fail the test if it connects to another machine

Record cassettes with ``pytest --record-cassettes <tests>``, or with SUPERNOVA_RECORD=1.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Every pytest run of every user loads this module, so it imports the rest only in its fixtures.
if TYPE_CHECKING:
    from supernova_ai.demo.local_model import LocalModel
    from supernova_ai.testing.cassettes import Cassette
    from supernova_ai.testing.stub import StubProvider

_FOLDERS = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "APPDATA")
_SETTINGS = re.compile(
    r"(LLM|SUPERNOVA|OPENAI|ANTHROPIC|OLLAMA|HUGGINGFACE|HF|API_KEY_ENCRYPTION)_.*"
    r"|.*_API_(KEY|TOKEN)(_BACKUP)?|SECURE_HEADERS_ENABLED|CREDENTIALS_DIRECTORY"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("supernova_ai").addoption(
        "--record-cassettes",
        action="store_true",
        default=os.environ.get("SUPERNOVA_RECORD") == "1",
        help="send the requests of tests that use the 'cassette' fixture, and record them again",
    )


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Check the cassette of a test that passed, so that an unplayed interaction fails the test itself."""
    result = yield
    cassette: Any = pyfuncitem.funcargs.get("cassette")
    if cassette is not None:
        cassette.check()
    return result


@pytest.fixture
def stub_provider() -> Iterator[Callable[..., StubProvider]]:
    """Return a function that makes a ``StubProvider``; all are closed when the test ends."""
    from supernova_ai.testing.stub import StubProvider

    with ExitStack() as exits:
        yield lambda *args, **kwargs: exits.enter_context(StubProvider(*args, **kwargs))


@pytest.fixture(scope="session")
def local_model() -> Iterator[LocalModel]:
    """Return the running local model; without the ``local`` extra, skip the test, or fail it in CI."""
    from supernova_ai.demo.local_model import LocalModel
    from supernova_ai.errors import ExtraMissing

    try:
        model = LocalModel()
    except ExtraMissing as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
    with model:
        yield model


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """Replay the test's HTTP requests from ``cassettes/<module>/<test>.yaml`` under the root, or record them.

    While replaying, other requests are refused, and every recorded interaction must be played.
    """
    from supernova_ai.testing.cassettes import Cassette, cassette_path

    test = request.node.nodeid.partition("::")[2]
    path = cassette_path(request.config.rootpath, request.node.path.stem, test)
    with Cassette(path, recording=request.config.getoption("--record-cassettes")) as cassette:
        yield cassette


@pytest.fixture
def supernova_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Move the user's folders into the test's, clear all provider settings, and return SUPERNOVA_HOME.

    While cassettes are recorded the settings stay, because a real provider needs its key.
    """
    if not request.config.getoption("--record-cassettes"):
        for name in filter(_SETTINGS.fullmatch, list(os.environ)):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in _FOLDERS:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    home = tmp_path / "supernova"
    monkeypatch.setenv("SUPERNOVA_HOME", str(home))
    return home


@pytest.fixture
def no_real_providers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse connections and look-ups of other machines, and fail the test that tries one.

    It has no effect on a test while its cassette is recorded.
    """
    from supernova_ai.testing.cassettes import is_loopback

    if "cassette" in request.fixturenames and request.config.getoption("--record-cassettes"):
        yield
        return
    refused: list[str] = []

    def check(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not is_loopback(name):
            refused.append(name)
            raise ConnectionRefusedError(f"the test connected to {name}, but only this machine is allowed")

    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        check(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield
    if refused:
        # Reported again, because a client may have retried after the refusal.
        pytest.fail(
            f"the test connected to {', '.join(sorted(set(refused)))}: use a stub or a cassette",
            pytrace=False,
        )
