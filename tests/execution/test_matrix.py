"""Every toxin at every provider, plain and streamed: the result, the cost, and that nothing leaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import Reply, Supernova, SupernovaError, errors
from supernova_ai.testing import TOXINS, StubProvider
from tests import clients
from tests.processes import leaving_nothing
from tests.servers import rest_of, telling
from tests.waiting import SENT_S, until

TEXT = "Buy 1 share, wait 2 years, pay 3 fees, mind 4 risks, and sleep 5 nights."

QUICK = {"first_token": SENT_S, "between_tokens": 0.15, "total": SENT_S}
SILENT = {"hang_before_headers", "hang_after_headers", "hang_midway", "slow_drip"}
DEADLINE = 20.0
MOST_MEMORY = 100 * 2**20

# Toxins whose effect is not the one that the catalogue says.
TOO_LONG = {"flood", "endless_flood"}
SERVES_ELSEWHERE = {"http_413", "context_too_long"}  # another may have a longer context
LOST_LINE = ("garbled", "ollama", True)  # LiteLLM skips a line it cannot read


def cases() -> Iterator[Any]:
    """Yield every toxin, plain and streamed, from one provider after the other; from the rest as proofs."""
    for (number, name), streaming in product(enumerate(TOXINS), (False, True)):
        turn = clients.PROVIDERS[(number + 2 * streaming) % len(clients.PROVIDERS)]
        for provider in clients.PROVIDERS if streaming or not TOXINS[name].streams_only else ():
            how = "streamed" if streaming else "plain"
            marks = () if provider == turn else pytest.mark.proof
            yield pytest.param(name, provider, streaming, id=f"{name}-{provider}-{how}", marks=marks)


@dataclass(frozen=True)
class Outcome:
    """The expected result: ``text`` from ``by``, or ``error``; ``kept``: text before the toxin is shown."""

    by: str
    error: str | None = None
    kept: bool = False
    text: str = TEXT


def expected(name: str, provider: str, streaming: bool) -> Outcome:
    toxin = TOXINS[name]
    other = "anthropic" if provider == "openai" else "openai"
    refuses = name == "http_400" or (provider == "ollama" and name == "credit_spent")
    if refuses or name == "content_refused":
        said = name == "content_refused" and provider != "ollama"  # ollama has no such refusal
        return Outcome(provider, error="ContentRefused" if said else "RequestRejected")
    if (name, provider, streaming) == LOST_LINE:
        return Outcome(provider, text=TEXT.replace("share, ", "", 1))
    if toxin.intact and name not in TOO_LONG:
        return Outcome(provider)
    return Outcome(other, kept=streaming and toxin.after_content and name not in TOO_LONG)


async def ask(nova: Supernova, streaming: bool) -> Reply:
    await nova.warm_up()
    async with asyncio.timeout(DEADLINE * 1.5):  # fail instead of hanging
        return await nova.chat("What now?", user_id="ann", streaming=streaming, timeout=DEADLINE)


@pytest.mark.parametrize(("name", "provider", "streaming"), cases())
def test_matrix(
    name: str,
    provider: str,
    streaming: bool,
    warm: set[str],
    path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    attempts: Callable[[], list[Any]],
    balance: Callable[[], tuple[int, int, int]],
) -> None:
    """Each case ends in time as expected; money, keys, memory, tasks, threads and files are in order."""
    caplog.set_level(logging.DEBUG)
    want = expected(name, provider, streaming)
    other = "anthropic" if provider == "openai" else "openai"
    answer, error = None, None
    with (
        leaving_nothing(MOST_MEMORY),
        StubProvider(telling(TOXINS[name].step, TEXT)) as bad,
        StubProvider(lambda request: rest_of(TEXT, request)) as good,
    ):
        timeout = dict(QUICK) if name in SILENT else {}
        if timeout and want.kept:
            del timeout["first_token"]  # the first token must come, and a busy machine is slow
        nova = Supernova(
            clients.configure(path, {provider: {"url": bad.url, "timeout": timeout}, other: good.url}),
            master=clients.MASTER,
        )
        try:
            answer = asyncio.run(ask(nova, streaming))
        except SupernovaError as failure:
            error = failure
        asyncio.run(until(lambda: clients.tasks_of(nova) <= warm))  # LiteLLM still works after the answer
        nova.close()
        asked = len(bad.chats) + len(good.chats)

    rows = attempts()
    if want.error is None:
        assert answer is not None, error
        assert (answer.content, answer.provider, answer.finish_reason) == (want.text, want.by, "stop")
        assert answer.cost * 10**9 == sum(row.cost for row in rows)
        assert [a.id for a in answer.attempts] == [row.id for row in rows]
        assert [row.error for row in rows][-1] is None
    else:
        assert type(error) is getattr(errors, want.error)
    assert [row.provider for row in rows] == ([provider] if want.by == provider else [provider, other])
    assert len(rows) == asked

    if rows[0].error is not None:
        kind = TOXINS[name].kind or rows[0].error
        assert issubclass(getattr(errors, rows[0].error), getattr(errors, kind))
        # A 408 comes from a gateway too: the model may have run.
        refused = (name.startswith("http") and name != "http_408") or name in (
            "context_too_long",
            "content_refused",
            "credit_spent",
            "key_echoed",
        )
        assert rows[0].state == ("released" if refused else "settled" if want.kept else "lost")
    for row in rows:
        assert 0 <= row.cost <= row.held
        assert row.cost == {"released": 0, "lost": row.held}.get(row.state, row.cost)
    assert balance() == (
        sum(row.cost for row in rows if row.state == "settled"),
        0,
        sum(row.cost for row in rows if row.state == "lost"),
    )

    shown = caplog.text + "".join(capfd.readouterr()) + repr(error) + str(error) + repr(answer)
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    for key in (clients.key_of(provider), clients.key_of(other)):
        assert key not in shown
        assert key.encode() not in kept
