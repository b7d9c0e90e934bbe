"""``supernova feedback``: add, list and report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import Supernova as Client
from supernova_ai.testing import StubProvider
from tests.cli.conftest import Supernova


@pytest.fixture
def request_id(
    configure: Callable[..., Path],
    stub_provider: Callable[..., StubProvider],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The id of an analysis that was answered for ann."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    configure(stub_provider("Profit rose, and the outlook for the year is good.").url)

    async def ask() -> str:
        async with Client() as nova:
            return (await nova.analyze("Acme rose.", user_id="ann")).request_id

    return asyncio.run(ask())


def test_feedback_is_added_and_listed(supernova: Supernova, request_id: str) -> None:
    """A negative number is a score and no option; the second feedback replaces the first."""
    first = supernova("feedback", "add", request_id, "up")
    assert (first.code, first.out) == (0, f"feedback on {request_id} kept: +1\n")
    second = supernova("feedback", "add", request_id, "-0.5", "--comment", "Too [bold]short.")
    assert (second.code, second.out) == (0, f"feedback on {request_id} replaced: -0.5\n")
    (found,) = supernova("feedback", "list", "--user", "ann", "--json").json
    assert (found["request"], found["score"], found["comment"]) == (request_id, -0.5, "Too [bold]short.")
    assert 0 < found["quality"] <= 1
    table = " ".join(supernova("feedback", "list").out.split())
    assert "-0.50" in table
    assert "[bold]short." in table
    assert supernova("feedback", "list", "--since", "2999-01-01").out == "no feedback\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nothing", "up"), "the ledger has no ended attempt of request 'nothing'"),
        (("nothing", "good"), 'score must be a number from -1 to 1, "up" or "down", not \'good\''),
        (("nothing", "-2"), "score must be a number from -1 to 1"),
        (("nothing", "up", "--coment", "x"), "unexpected extra argument(s) (--coment x)"),
    ],
)
def test_wrong_feedback_is_refused(
    supernova: Supernova, request_id: str, arguments: tuple[str, ...], reason: str
) -> None:
    """The error names what is wrong; the exit code is that of usage."""
    refused = supernova("feedback", "add", *arguments)
    assert refused.code == 2
    assert reason in " ".join(refused.err.replace("│", "").split())


@pytest.mark.parametrize(
    ("by", "name"), [("model", "openai/gpt-6-astra"), ("prompt", "analysis-financial"), ("user", "ann")]
)
def test_the_report_has_costs_and_means(supernova: Supernova, request_id: str, by: str, name: str) -> None:
    """The JSON has the exact cost; the table has the group and its means."""
    supernova("feedback", "add", request_id, "0.25")
    (line,) = supernova("feedback", "report", "--by", by, "--json").json
    assert (line["name"], line["attempts"], line["answered"]) == (name, 1, 1)
    assert (line["feedbacks"], line["score"], line["checked"]) == (1, 0.25, 1)
    assert 0 < line["quality"] <= 1
    assert float(line["cost_usd"]) > 0
    table = supernova("feedback", "report", "--by", by).out
    assert f"By {by}, since" in table
    assert name in table
    assert "+0.25" in table


def test_a_report_of_nothing_says_so(supernova: Supernova) -> None:
    """Without attempts there is no table."""
    assert supernova("feedback", "report", "--since", "2026-11-22").out == (
        "no attempts since 2026-11-22 00:00 UTC\n"
    )
    assert supernova("feedback", "report", "--since", "today").code == 2
