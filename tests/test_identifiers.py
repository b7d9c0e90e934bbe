"""Identifiers are validated by one rule at every entry point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from supernova_ai import InvalidRequest, Supernova
from supernova_ai.cli.app import app
from supernova_ai.config import Config
from supernova_ai.config.schema import Budget
from supernova_ai.errors import ConfigError
from supernova_ai.identifiers import MAX_LABEL, MAX_LENGTH, MAX_TAGS
from supernova_ai.ledger import End, Ledger, labels
from supernova_ai.requests.arguments import identity
from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import StubProvider
from supernova_ai.types import Request, Usage
from tests import recount
from tests.holds import entry

BAD = {"long": "x" * (MAX_LENGTH + 1), "nul": "a\0b", "half": "a\ud800b"}
GOOD = {"longest": "\U0001f600" * MAX_LENGTH, "usual": "ann@example.com"}

REQUEST: dict[str, Any] = {"id": "r", "messages": (), "tier": "economy", "task": "chat", "max_tokens": 1}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", ["id", "user_id", "session_id", "task", "model", "prompt_name", "metadata"])
def test_no_request_has_an_identifier_that_a_database_cannot_index(name: str, value: str) -> None:
    """A request validates all its identifiers, including the keys of its metadata."""
    given: Any = {value: "x"} if name == "metadata" else value
    with pytest.raises(InvalidRequest, match=name):
        Request(**REQUEST | {name: given})


@pytest.mark.parametrize("value", GOOD.values(), ids=GOOD)
def test_the_longest_identifier_is_accepted(value: str) -> None:
    """An identifier of the maximum length with the longest characters is returned unchanged."""
    assert Request(**REQUEST, user_id=value, session_id=value, metadata={value: "x"}).user_id == value
    assert identity("user_id", value) == value


@pytest.mark.parametrize(
    "value", [10**5000, *BAD.values(), "", True, 1.5], ids=["huge", *BAD, "empty", "bool", "float"]
)
async def test_entry_points_without_a_request_refuse_it_too(value: Any) -> None:
    """Forgetting a session and advice validate ids like calls, before anything is opened."""
    from supernova_ai import aadvise

    nova = Supernova(Config())
    for wrong in (
        nova.forget("s", user_id=value),
        nova.forget(value),
        nova.chat("What now?", user_id=value),
        nova.chat("What now?", session_id=value),
        aadvise([], symbol="A", user_id=value, client=nova),
    ):
        with pytest.raises(InvalidRequest, match=r"user_id|session_id"):
            await wrong


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_the_configuration_refuses_it(value: str) -> None:
    """The rule also applies to models, tasks, providers, budgets and a budget's user."""
    refused: list[dict[str, Any]] = [
        {"providers": {"openai": {"models": {"economy": value}}}},
        {"providers": {value: {}}},
        {"routing": {"tasks": {value: "economy"}}},
        {"budgets": [{"name": value, "limit": 1, "per": "day"}]},
        {"budgets": [{"name": "b", "limit": 1, "per": "day", "user": value}]},
        {"alerts": {"notify": [f"vault:{value}"]}},
    ]
    for wrong in refused:
        with pytest.raises((ValueError, ConfigError)):
            Config.model_validate(wrong)
    assert Budget(name="b", limit=1, per="day", user=GOOD["longest"]).user == GOOD["longest"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "command",
    ["advice list --user", "advice show", "costs --request", "ledger settle --cost 1 --reason x",
     "privacy export --user", "privacy erase --yes --user"],
)  # fmt: skip
def test_a_command_refuses_a_lone_surrogate(command: str) -> None:
    """Bytes on the command line that are not UTF-8 are an invalid argument, on either engine."""
    result = CliRunner().invoke(app, [*command.split(), "a\udcffb"])
    assert isinstance(result.exception, InvalidRequest)


def test_the_longest_identifiers_fit_every_index(
    new_database: Callable[[], str], stub_provider: Callable[..., StubProvider]
) -> None:
    """A call with the longest ids and a budget per user is settled and stored, on either engine."""
    from tests import clients

    stub, name = stub_provider("Diversify."), GOOD["longest"]
    where = new_database()
    config = clients.configure(
        where,
        {"openai": stub.url},
        budgets=[{"name": "b" * MAX_LENGTH, "limit": 1, "per": "day", "user": "*"}],
    )
    nova = Supernova(config, master=clients.MASTER)
    try:
        reply = asyncio.run(nova.chat("What now?", user_id=name, session_id=name, metadata={name: "x"}))
    finally:
        nova.close()
    assert reply.content == "Diversify."
    with Store(where) as store:
        (row,) = store.read(lambda database: list(AttemptRow.select().execute(database)))
    assert (row.state, row.user) == ("settled", name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"team": ""}, "team must have 1 to 64 characters, not 0"),
        ({"team": "x" * (MAX_LABEL + 1)}, "team must have 1 to 64 characters, not 65"),
        ({"team": 7}, "team must be a text, not 7"),
        ({"team": "a\0b"}, "team has a NUL character"),
        ({"tags": ["desk"]}, r"tags must be a mapping such as {'desk': 'fx'}, not \['desk'\]"),
        ({"tags": {"desk": ""}}, "tag 'desk' must have 1 to 64 characters, not 0"),
        ({"tags": {"desk": 7}}, "tag 'desk' must be a text, not 7"),
        ({"tags": {'de"sk': "fx"}}, "the name of a tag must be 1 to 32 of the letters"),
        ({"tags": {"x" * 33: "fx"}}, "the name of a tag must be 1 to 32 of the letters"),
        ({"tags": {7: "fx"}}, "the name of a tag must be 1 to 32 of the letters.* not 7"),
        ({"tags": {str(n): "x" for n in range(MAX_TAGS + 1)}}, "a call has 9 tags; at most 8 are allowed"),
    ],
)
def test_wrong_teams_and_tags_are_refused(given: dict[str, Any], message: str) -> None:
    """The error names the team or the tag and what would be right, at every call."""
    with pytest.raises(InvalidRequest, match=message):
        Request(**REQUEST | given)
    with pytest.raises(InvalidRequest, match=message):
        asyncio.run(Supernova(Config()).chat("Hello", **given))


def test_the_longest_labels_fit_into_every_index(store: Store) -> None:
    """Eight tags and a team of the longest texts are stored, and counted in windows of their own."""
    longest = "\U0001f600" * MAX_LABEL
    tags = {f"{n}".ljust(32, "x"): longest for n in range(MAX_TAGS)}
    name = next(iter(tags))
    budgets = [
        Budget(name="team", limit=Decimal(1), per="day", team=longest, tag={name: longest}),
        Budget(name="each", limit=Decimal(1), per="day", tag={name: "*"}),
    ]
    ledger = Ledger(store, budgets)
    wanted = entry("a", 1, ledger.now_ms(), team=longest, tags=labels.to_text(tags))
    hold = ledger.write(lambda database: ledger.hold(database, wanted)).result()
    assert len(hold.windows) == 2
    assert ledger.end(hold, End("settled", 1, "exact", Usage(), ledger.now_ms())).result()
    store.read(recount.check)
    ledger.close()
