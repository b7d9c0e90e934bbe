"""The client: its arguments, its errors, and the loops and threads that may call it."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import supernova_ai
from supernova_ai import (
    InvalidRequest,
    NoProvider,
    ProviderTimeout,
    Reply,
    Supernova,
    SupernovaError,
    UnknownOption,
    errors,
)
from supernova_ai.default_client import default
from supernova_ai.testing import StubProvider
from tests import clients


@pytest.fixture
def default_client(
    tmp_path: Path, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StubProvider]:
    """Configure the default client by a file and the environment, as users do."""
    file = tmp_path / "supernova.yaml"
    provider = {
        "api_base": f"{stub.url}/v1",
        "models": dict.fromkeys(("economy", "standard", "premium"), "gpt-4o-mini"),
    }
    written = {"providers": {"openai": provider}, "routing": {"priority": ["openai"], "retries": 0}}
    file.write_text(yaml.safe_dump(written))
    monkeypatch.setenv("SUPERNOVA_CONFIG", str(file))
    monkeypatch.setenv("OPENAI_API_KEY", clients.key_of("openai"))
    monkeypatch.setattr("supernova_ai.default_client._default", None)
    yield stub
    default().close()


def test_all_names_are_exported() -> None:
    """Every name of ``__all__`` exists, in order, and every error class is among them."""
    assert supernova_ai.__all__ == sorted(supernova_ai.__all__)
    assert dir(supernova_ai) == supernova_ai.__all__
    assert all(getattr(supernova_ai, name) is not None for name in supernova_ai.__all__)
    ours = {
        n for n, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, SupernovaError)
    }
    assert ours <= set(supernova_ai.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        supernova_ai.nonsense  # noqa: B018


def test_version_is_that_of_the_project() -> None:
    """``supernova_ai.__version__`` is the version in pyproject.toml."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert supernova_ai.__version__ == project["project"]["version"]


def test_importing_the_package_imports_nothing_else() -> None:
    """``import supernova_ai`` imports no other module of ours or of a dependency, and reads no metadata."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import supernova_ai\n"
        "loaded = set(sys.modules) - before\n"
        "print(sorted(name for name in loaded if name.partition('.')[0] not in sys.stdlib_module_names))\n"
        "print('importlib.metadata' in loaded)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "['supernova_ai']\nFalse\n"


async def test_every_documented_argument_works(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """All documented arguments work together, and reach the provider or the ledger."""
    reply = await nova.chat(
        message="What now?",
        user_id=123,
        streaming=False,
        task="chat",
        tier="standard",
        session_id="s-1",
        max_tokens=77,
        temperature=0.25,
        timeout=30,
        max_cost="0.50",
        model="gpt-4o-mini",
        metadata={"screen": "portfolio"},
    )
    (request,), (row,) = stub.requests, clients.attempts(path)
    assert (request.body["max_tokens"], request.body["temperature"]) == (77, 0.25)
    assert "What now?" in request.body["messages"][-1]["content"]
    assert (row.user, row.session, row.task, row.tier) == ("123", "s-1", "chat", "standard")
    assert (row.request, row.prompt_name) == (reply.request_id, "chat")
    assert (reply.cached, reply.quality_score, str(reply)) == (False, None, "Diversify, always.")
    assert 0 < reply.latency_s < 60
    assert [attempt.id for attempt in reply.attempts] == [row.id]


async def test_analyze_sends_the_text_as_data(nova: Supernova, stub: StubProvider, path: Path) -> None:
    """An analysis uses the prompt and the task of its type, and sends the text."""
    reply = await nova.analyze(content="Acme rose 8 %.", analysis_type="risk", user_id=1, tier="standard")
    (row,) = clients.attempts(path)
    assert (row.task, row.prompt_name) == ("analysis", "analysis-risk")
    assert "Acme rose 8 %." in stub.requests[0].body["messages"][-1]["content"]
    assert reply.content == "Diversify, always."


NO_USD: list[Any] = [0, -1, "much", float("nan"), float("inf"), []]
BAD: list[tuple[dict[str, Any], str]] = [
    *(
        ({"message": m}, "message must be a text that is not empty")
        for m in ("", " \n", None, 5, b"hi", ["hi"])
    ),
    ({"message": "half a \ud83d"}, "half a character"),
    ({"message": "long " * 1_000_000}, "message has 5,000,000 characters: at most 4,000,000 are allowed"),
    ({"tier": "gold"}, "tier 'gold' is not known; choose one of: economy, standard, premium"),
    ({"tier": ["standard"]}, "tier"),
    ({"task": "sing"}, "task 'sing' is not configured; choose one of: chat, analysis, summary"),
    ({"task": ["chat"]}, "task"),
    *(
        ({"max_tokens": n}, "max_tokens must be a whole number from 1 to")
        for n in (0, -1, 1.5, True, "9", 10**9)
    ),
    *(({"temperature": t}, "temperature must be a number from 0 to 2") for t in (-1, 3, "hot", float("nan"))),
    *(({"timeout": t}, "timeout must be a number from") for t in (0, -1, "soon", float("inf"), True)),
    *(({"max_cost": c}, "max_cost must be") for c in NO_USD),
    ({"model": "gpt-99"}, "model 'gpt-99' is not configured; choose one of: openai/gpt-4o-mini"),
    ({"model": 5}, "model must be a text, not 5"),
    *(({"user_id": u}, "user_id must be a text or a whole number") for u in (1.5, True, {"id": 1})),
    ({"user_id": "\udcff"}, "user_id has a lone surrogate"),
    ({"session_id": ["s"]}, "session_id must be a text or a whole number"),
    ({"metadata": "screen"}, "metadata must be a mapping"),
]


@pytest.mark.parametrize(
    ("given", "words"), BAD, ids=lambda value: ascii(value) if isinstance(value, dict) else ""
)
async def test_bad_argument_is_named(
    given: dict[str, Any], words: str, nova: Supernova, stub: StubProvider
) -> None:
    """A wrong argument is an InvalidRequest (a ValueError too) that names it; nothing is sent."""
    with pytest.raises(InvalidRequest) as raised:
        await nova.chat(**{"message": "What now?"} | given)
    assert words in str(raised.value)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(InvalidRequest, match=re.escape(words)):
        async with nova.stream(**{"message": "What now?"} | given) as stream:
            await anext(stream)
    assert stub.requests == []


MISSPELT: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"max_token": 9}, "chat() has no option 'max_token'. Did you mean 'max_tokens'?"),
    ("chat", {"zz": 1}, "chat() has no option 'zz'. Its options: attachments, cache, complexity, extra,"),
    ("chat", {"respons_model": int}, "no option 'respons_model'. Did you mean 'response_model'?"),
    ("chat", {"response_format": {}}, "Give response_model: a pydantic model or a JSON schema."),
    ("chat", {"api_key": "x"}, "Keys are in the vault: run 'supernova keys add <provider>'."),
    ("chat", {"top_k": 4}, "Give it for the provider that has it: extra={'anthropic': {'top_k': 40}}."),
    ("stream", {"user": 1}, "stream() has no option 'user'. Give user_id."),
    ("stream", {"streaming": True}, "stream() has no option 'streaming'. Only chat() and analyze() have it."),
    (
        "analyze",
        {"analysis_typ": "risk"},
        "analyze() has no option 'analysis_typ'. Did you mean 'analysis_type'?",
    ),
    ("quote", {"streaming": True}, "quote() has no option 'streaming'. Only chat() and analyze() have it."),
    ("ask", {"attachments": []}, "ask() has no option 'attachments'. Its options: cache, complexity,"),
]


@pytest.mark.parametrize(("function", "option", "words"), MISSPELT)
async def test_an_unknown_option_is_named(
    function: str, option: dict[str, Any], words: str, nova: Supernova, stub: StubProvider
) -> None:
    """An unknown option is a TypeError that names the nearest option; nothing is sent."""
    arguments: list[Any] = ["chat", {"message": "What now?"}] if function == "ask" else ["What now?"]
    with pytest.raises(TypeError, match=re.escape(words)) as raised:
        await getattr(nova, function)(*arguments, **option)
    assert isinstance(raised.value, UnknownOption)
    assert isinstance(raised.value, InvalidRequest)
    assert stub.requests == []


def test_a_configuration_of_another_type_is_named() -> None:
    """A dict is no configuration yet: the error says what makes one of it, and shows nothing of it."""
    with pytest.raises(errors.ConfigError, match="makes a Config of a dict") as raised:
        Supernova(cast(Any, {"database": "postgresql://ann:secret@db/nova"}))
    assert "secret" not in str(raised.value)


def test_an_unknown_option_of_a_module_level_function_is_named(default_client: StubProvider) -> None:
    """The module-level functions have the options of the methods, and no others."""
    for function in (supernova_ai.chat, supernova_ai.stream, supernova_ai.analyze):
        words = f"^{function.__name__}\\(\\) has no option 'tire'. Did you mean 'tier'"
        with pytest.raises(UnknownOption, match=words):
            asyncio.run(cast(Any, function)("What now?", tire="economy"))
    assert default_client.requests == []


async def test_unknown_analysis_type_lists_the_known_ones(nova: Supernova) -> None:
    """The error for an unknown analysis type lists the known ones."""
    with pytest.raises(InvalidRequest, match="financial, news, risk, sentiment, summary"):
        await nova.analyze("Acme rose.", analysis_type="astrological")


async def test_switched_off_sends_nothing(open_nova: Callable[..., Supernova], stub: StubProvider) -> None:
    """With ``enabled: false`` a call is refused and says how to switch it on."""
    with pytest.raises(NoProvider, match="enabled: true"):
        await open_nova({"openai": stub.url}, enabled=False).chat("What now?")
    assert stub.requests == []


def test_repeated_runs_and_sixteen_threads_share_one_client(nova: Supernova, stub: StubProvider) -> None:
    """One client works in several event loops: one after the other, and in many threads at once."""
    for _ in range(3):
        assert asyncio.run(nova.chat("What now?")).content == "Diversify, always."
    contents: list[str] = []
    threads = [
        threading.Thread(target=lambda: contents.append(asyncio.run(nova.chat("What now?")).content))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == ["Diversify, always."] * 16
    assert len(stub.requests) == 19


async def test_fifty_calls_at_once_from_one_loop(nova: Supernova, path: Path) -> None:
    """Fifty calls at once are all answered, each with one attempt."""
    replies = await asyncio.gather(*(nova.chat("What now?", user_id=n) for n in range(50)))
    assert len({reply.request_id for reply in replies}) == len(clients.attempts(path)) == 50


def test_module_level_functions(default_client: StubProvider) -> None:
    """``chat``, ``analyze`` and ``stream`` work from any loop, with the configuration of the environment."""

    async def read() -> str:
        async with supernova_ai.stream("What now?", user_id=1) as stream:
            return "".join([token async for token in stream])

    for _ in range(2):
        assert asyncio.run(supernova_ai.chat("What now?")).content == "Diversify, always."
        assert asyncio.run(supernova_ai.analyze("Acme rose.")).tier == "premium"
        assert asyncio.run(read()) == "Diversify, always."
    assert default() is default()
    assert len(default_client.requests) == 6


async def read_stream(nova: Supernova) -> Reply:
    """The reply of a stream, read to its end."""
    async with nova.stream("What now?") as stream:
        async for _ in stream:
            pass
    return stream.reply


def price(symbol: str) -> float:
    """Return the price of a share."""
    return 1.0


ANSWERS: dict[str, Callable[[Supernova], Coroutine[Any, Any, Reply]]] = {
    "chat": lambda nova: nova.chat("What now?"),
    "streamed chat": lambda nova: nova.chat("What now?", streaming=True),
    "stream": read_stream,
    "analyze": lambda nova: nova.analyze("Profit rose."),
    "run_tools": lambda nova: nova.run_tools("What now?", tools=[price]),
    "ask": lambda nova: nova.ask("chat", {"message": "What now?"}),
}


@pytest.mark.parametrize("call", ANSWERS)
async def test_latencies_count_from_the_call(
    call: str,
    open_nova: Callable[..., Supernova],
    stub: StubProvider,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The latencies of a reply include opening the client; those of its attempts are the provider's alone."""
    models = dict.fromkeys(("standard", "premium"), "gpt-4o-mini")
    nova = open_nova({"openai": {"url": stub.url, "models": models}})
    opening_s, open_ = 0.0, Supernova._open

    def measured(client: Supernova) -> None:
        nonlocal opening_s
        began = time.perf_counter()
        open_(client)
        opening_s = time.perf_counter() - began

    monkeypatch.setattr(Supernova, "_open", measured)
    began = time.perf_counter()
    reply = await ANSWERS[call](nova)
    took_s = time.perf_counter() - began
    assert 0 < opening_s < reply.latency_s < took_s
    assert reply.first_token_s is None or opening_s < reply.first_token_s < took_s
    (attempt,), (row,) = reply.attempts, clients.attempts(path)
    assert attempt.latency_s < took_s - opening_s + 0.001  # it is rounded to milliseconds
    assert row.latency_ms == round(attempt.latency_s * 1000)


@pytest.mark.parametrize("streaming", [False, True])
async def test_opening_is_within_the_timeout(
    nova: Supernova, stub: StubProvider, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    """The timeout of a first call covers opening the client; the error names ``warm_up()``."""
    enough, open_ = threading.Event(), Supernova._open

    def slowly(client: Supernova) -> None:
        enough.wait(60)
        open_(client)

    monkeypatch.setattr(Supernova, "_open", slowly)
    with pytest.raises(ProviderTimeout, match=r"opening the client.*warm_up\(\).*took all of the 0\.05 s"):
        await nova.chat("What now?", streaming=streaming, timeout=0.05)
    assert stub.chats == []
    enough.set()
    assert (await nova.chat("What now?", streaming=streaming)).content
