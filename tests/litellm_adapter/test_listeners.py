"""LiteLLM makes its log of calls only for callbacks that the program registered, and they get no key."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from pydantic import BaseModel

from supernova_ai import Supernova, SupernovaError
from supernova_ai.litellm_adapter.listeners import LISTENERS
from supernova_ai.testing import Failure, Raw, Step, StubProvider
from tests import clients
from tests.waiting import until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


PATIENT = {"retries": 0, "breaker": {"failures": 1000, "cooldown": 0.001}}


class Listener(CustomLogger):  # type: ignore[misc]  # untyped base
    """A callback that a program registers with LiteLLM; it ignores late events of earlier tests."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.failed: list[str] = []

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        metadata = kwargs["litellm_params"]["metadata"]
        if metadata.get("desk") == "7":
            self.answered.append(response_obj.choices[0].message.content)
            self.metadata = metadata

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        if kwargs["litellm_params"]["metadata"].get("desk") == "7":
            self.failed.append(type(kwargs["exception"]).__name__)


@pytest.fixture(autouse=True)
def _no_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin and end without callbacks; LiteLLM enters each in several lists."""
    for name in (*LISTENERS, "input_callback"):
        monkeypatch.setattr(litellm, name, [])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of LiteLLM's success and failure handlers that were called."""
    called: list[str] = []
    logging = litellm.litellm_core_utils.litellm_logging.Logging
    for name in ("async_success_handler", "failure_handler"):
        monkeypatch.setattr(logging, name, noting(name, getattr(logging, name), called))
    return called


def noting(name: str, method: Any, called: list[str]) -> Any:
    """Return the method, which also records each call."""

    def note(*args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return method(*args, **kwargs)

    return note


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_callbacks_are_called(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """A program's callbacks receive failures and answers, without the messages."""
    listener = Listener()
    litellm.callbacks.append(listener)
    nova = open_nova(
        {"openai": stub_provider(Failure(500)).url, "anthropic": stub_provider("Diversify.").url}
    )
    await nova.chat("What now?", streaming=streaming, metadata={"desk": "7"})
    await until(lambda: listener.answered and listener.failed)
    assert (listener.answered, listener.failed) == (["redacted-by-litellm"], ["InternalServerError"])
    assert listener.metadata["desk"] == "7"


class Spy(CustomLogger):  # type: ignore[misc]  # untyped base
    """Keeps everything that LiteLLM passes to a callback, by any hook."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if not name.startswith(("log_", "async_log_")):
            return method

        def hear(*args: Any, **kwargs: Any) -> Any:
            self.heard.append((name, (args, kwargs)))
            return method(*args, **kwargs)

        return hear

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> Any:
        self.heard.append(("async_pre_call_deployment_hook", kwargs))


def texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield every text that a callback can reach: in its arguments, in errors, their causes and requests."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, str | bytes):
        yield value if isinstance(value, str) else value.decode(errors="replace")
    elif isinstance(value, Mapping):
        for pair in list(value.items()):
            yield from texts(pair, seen)
    elif isinstance(value, list | tuple | set | httpx.Headers):
        for each in list(value):
            yield from texts(each, seen)
    elif isinstance(value, BaseException | httpx.Request | httpx.Response | BaseModel):
        yield f"{value!r} {value}"
        yield from texts(getattr(value, "__dict__", {}), seen)
        if isinstance(value, BaseException):
            yield from texts((value.args, value.__cause__, value.__context__), seen)
    elif isinstance(value, int | float | None):
        return
    else:
        yield f"{value!r} {getattr(value, '__dict__', '')}"


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "huggingface", "gemini", "mistral"])
async def test_callbacks_get_no_key(
    provider: str, streaming: bool, open_nova: Open, stub_provider: Stub
) -> None:
    """No argument, header or error has the key, although a provider that refuses it repeats it."""
    spy = Spy()
    litellm.callbacks.append(spy)
    key = clients.key_of(provider)
    echoes: list[Step] = [
        Failure(status, f"The key {key}, {b64encode(key.encode()).decode()}, is no good.", {"x-key": key})
        for status in (401, 400, 500)
    ]
    if provider == "openai":
        error = json.dumps({"error": {"message": f"The key {key} is no good.", "code": 500}})
        kind, body = ("text/event-stream", f"data: {error}\n\n") if streaming else ("application/json", error)
        echoes.append(Raw(200, kind, body, {"x-key": key}))
    stub = stub_provider("Diversify.", script=echoes)
    some = {
        "url": stub.url if provider in ("anthropic", "gemini") else f"{stub.url}/v1",
        "models": {"standard": "some-model"},
        "prices": {"some-model": {"input": "1", "output": "1"}},
        "keys": ["primary"],
    }
    nova = open_nova({provider: some if provider in ("gemini", "mistral") else stub.url}, routing=PATIENT)
    for _ in echoes:
        with pytest.raises(SupernovaError) as failed:
            await nova.chat("What now?", streaming=streaming)
        assert key not in str(failed.value)
    if provider != "gemini":  # the stub does not speak its dialect
        await nova.chat("What now?", streaming=streaming)
        await until(lambda: any("success" in name for name, _ in spy.heard))
        await until(lambda: sum(name == "async_log_failure_event" for name, _ in spy.heard) >= len(echoes))
    assert len(spy.heard) >= len(echoes)
    assert key in repr([(request.path, request.headers) for request in stub.requests])
    for name, arguments in spy.heard:
        for text in texts(arguments, set()):
            assert key not in text, (name, text[:2000])
            assert b64encode(key.encode()).decode()[4:-4] not in text, (name, text[:2000])


@pytest.mark.parametrize("asked_gemini", [False, True])
async def test_no_log_is_made_without_callbacks(
    asked_gemini: bool, made: list[str], open_nova: Open, stub_provider: Stub
) -> None:
    """The log would double the time of a call; LiteLLM's own cache does not count as a callback."""
    if asked_gemini:
        litellm.Cache(type="local")  # LiteLLM makes one with the first request to Gemini
        assert litellm.success_callback == ["cache"]
    nova = open_nova(
        {"openai": stub_provider(Failure(500)).url, "anthropic": stub_provider("Diversify.").url}
    )
    reply = await nova.chat("What now?")
    assert [attempt.outcome for attempt in reply.attempts] == ["released", "settled"]
    nova.close()
    assert made == []
