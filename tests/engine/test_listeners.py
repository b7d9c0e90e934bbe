"""LiteLLM's log of calls is made for those who listen, and for nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from supernova_ai import Supernova
from supernova_ai.engine.lite import LISTENERS
from supernova_ai.testing import Failure, StubProvider
from tests.waiting import until

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


class Listener(CustomLogger):  # type: ignore[misc]  # untyped base
    """What a program of its own has LiteLLM tell of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.failed: list[str] = []

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.answered.append(response_obj.choices[0].message.content)
        self.metadata = kwargs["litellm_params"]["metadata"]

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self.failed.append(type(kwargs["exception"]).__name__)


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without listeners; LiteLLM puts one into several lists, and they are gone after the test."""
    for name in LISTENERS:
        monkeypatch.setattr(litellm, name, [])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of LiteLLM's handlers of success and failure were called."""
    called: list[str] = []
    logging = litellm.litellm_core_utils.litellm_logging.Logging
    for name in ("async_success_handler", "failure_handler"):
        monkeypatch.setattr(logging, name, noting(name, getattr(logging, name), called))
    return called


def noting(name: str, method: Any, called: list[str]) -> Any:
    """The method, with each call of it noted."""

    def note(*args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return method(*args, **kwargs)

    return note


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_listeners_are_told(streaming: bool, open_nova: Open, stub_provider: Stub) -> None:
    """A program's own callbacks hear of what failed and of what was answered, but not what was said."""
    listener = Listener()
    litellm.callbacks.append(listener)
    nova = open_nova(
        {"openai": stub_provider(Failure(500)).url, "anthropic": stub_provider("Diversify.").url}
    )
    await nova.chat("What now?", streaming=streaming, metadata={"desk": "7"})
    await until(lambda: listener.answered and listener.failed)
    assert (listener.answered, listener.failed) == (["redacted-by-litellm"], ["InternalServerError"])
    assert listener.metadata["desk"] == "7"


async def test_without_listeners_no_log_is_made(
    made: list[str], open_nova: Open, stub_provider: Stub
) -> None:
    """It would take as long again as the call, and nobody reads it."""
    nova = open_nova(
        {"openai": stub_provider(Failure(500)).url, "anthropic": stub_provider("Diversify.").url}
    )
    reply = await nova.chat("What now?")
    assert [attempt.outcome for attempt in reply.attempts] == ["released", "settled"]
    nova.close()
    assert made == []
