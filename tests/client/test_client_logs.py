"""What a call logs: every line has the request's id, and no line has the user's."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from supernova_ai import Supernova, SupernovaError
from supernova_ai.log.setup import EventFormatter
from supernova_ai.testing import Cut, Failure, StubProvider

USER, SESSION = "ann@example.com", "retirement-plan"


@pytest.fixture
def nova(open_nova: Callable[..., Supernova], stub_provider: Callable[..., StubProvider]) -> Supernova:
    """A client whose first provider fails in several ways, and whose second answers."""
    quoting = Failure(400, f"user {USER} in {SESSION} asks too much")
    failing = stub_provider(script=[Failure(500), quoting, Cut(2), Failure(401)])
    return open_nova(
        {"openai": failing.url, "anthropic": stub_provider("Diversify.").url}, sessions={"history": True}
    )


async def call(nova: Supernova) -> set[str | None]:
    """Make calls that log something; return the ids of their requests."""
    ids: set[str | None] = set()
    for streaming in (False, False, True, False):
        try:
            reply = await nova.chat("What now?", user_id=USER, session_id=SESSION, streaming=streaming)
            ids.add(reply.request_id)
        except SupernovaError as error:
            ids.add(error.request_id)
    return ids


async def test_every_line_of_a_call_has_its_request(
    nova: Supernova, caplog: pytest.LogCaptureFixture
) -> None:
    """Failed attempts, broken streams and LiteLLM's own lines are logged with the id of the request."""
    await nova.warm_up()
    caplog.set_level(logging.DEBUG, "supernova_ai")
    ids = await call(nova)
    lines = [vars(record) for record in caplog.records if record.name.startswith("supernova_ai")]
    assert {"engine.attempt.failed", "litellm.log"} <= {line["event"] for line in lines}
    assert {line["fields"].get("request") for line in lines} == ids


async def test_no_line_has_the_user(
    nova: Supernova, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hashed users, no line has the ids of user and session, not even where a provider quotes them."""
    monkeypatch.setattr(caplog.handler, "formatter", EventFormatter(as_json=True, hash_users=True))
    caplog.set_level(logging.DEBUG, "supernova_ai")
    await call(nova)
    assert "asks too much" in caplog.text
    assert USER not in caplog.text
    assert SESSION not in caplog.text
