"""The client finds, uses, records and reloads the user's templates beside the YAML."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml

from supernova_ai import ConfigError, InvalidRequest, Supernova
from supernova_ai.prompts import Library
from supernova_ai.testing import StubProvider
from tests import clients
from tests.prompts.conftest import Write


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify, always.")


@pytest.fixture
async def nova(
    tmp_path: Path, path: Path, stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Supernova]:
    """A client of a YAML file with a folder of templates beside it."""
    models = dict.fromkeys(("economy", "standard", "premium"), "gpt-4o-mini")
    written = {
        "database": str(path),
        "providers": {"openai": {"api_base": f"{stub.url}/v1", "models": models}},
        "routing": {"priority": ["openai"]},
    }
    (tmp_path / "supernova.yaml").write_text(yaml.safe_dump(written))
    monkeypatch.setenv("OPENAI_API_KEY", clients.key_of("openai"))
    async with Supernova(tmp_path / "supernova.yaml") as nova:
        yield nova


async def test_own_templates_are_used_and_recorded(
    write: Write, folder: Path, nova: Supernova, stub: StubProvider, path: Path
) -> None:
    """A user's analysis is found by name and sent in its tier, and the ledger records its hash."""
    write("analysis-esg", "variables: {content: {untrusted: true}}\ntier: economy\n", "Judge:\n{{ content }}")
    with pytest.raises(InvalidRequest, match=r"one of: financial, news, risk, sentiment, summary$"):
        await nova.analyze("Solar.", analysis_type="esg")  # made before the file was
    await nova.reload()
    reply = await nova.analyze("Solar.", analysis_type="esg")
    (row,) = clients.attempts(path)
    assert stub.requests[0].body["messages"][-1]["content"].startswith("Judge:\n<<<CONTENT")
    assert (row.prompt_name, row.prompt_hash) == ("analysis-esg", Library([folder]).get("analysis-esg").hash)
    assert (reply.tier, reply.tier_reason) == ("economy", "prompt 'analysis-esg'")
    with pytest.raises(InvalidRequest, match="choose one of: esg, financial, news"):
        await nova.analyze("Solar.", analysis_type="nonsense")


async def test_system_takes_the_place_of_the_prompts_own(
    write: Write, nova: Supernova, stub: StubProvider
) -> None:
    """The option ``system`` replaces the system message of the prompt for chats."""
    write("chat", "variables: {message: text}\nsystem: Be long.\n", "{{ message }}")
    await nova.reload()
    await nova.chat("And a share?")
    await nova.chat("And a share?", system="Be brief.")
    said = [[one["content"] for one in request.body["messages"]] for request in stub.chats]
    assert said == [["Be long.", "And a share?"], ["Be brief.", "And a share?"]]


async def test_the_task_of_an_own_chat_prompt_decides(write: Write, nova: Supernova, path: Path) -> None:
    """A chat prompt of one's own brings its task, unless the call names another."""
    file = write("chat", "variables: {message: text}\n", "{{ message }}")
    file.write_text(file.read_text().replace("task: chat", "task: analysis"))
    await nova.reload()
    await nova.chat("What now?")
    await nova.chat("What now?", task="summary")
    assert [row.task for row in clients.attempts(path)] == ["analysis", "summary"]


async def test_reload_with_a_wrong_template_changes_nothing(
    write: Write, nova: Supernova, stub: StubProvider
) -> None:
    """A reload with a wrong template is refused, and the client keeps its templates."""
    write("chat", "variables: {message: text}\n", "{{ mesage }}")
    with pytest.raises(ConfigError, match=r"chat\.md:7: mesage is used"):
        await nova.reload()
    await nova.chat("Hello?")
    assert stub.requests[0].body["messages"] == [{"role": "user", "content": "Hello?"}]


async def test_wrong_template_stops_only_what_uses_it(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client logs a wrong template at start; only its use fails, before anything is opened."""
    write("chat", "tier: gold\n")
    (tmp_path / "other.yaml").write_text(f"database: {tmp_path / 'other.db'}\n")
    nova = Supernova(tmp_path / "other.yaml")
    assert "prompts.file.wrong" in caplog.text
    with pytest.raises(
        ConfigError, match=r"the prompt 'chat' cannot be used.*\n.*chat\.md:5: tier is 'gold'"
    ):
        await nova.chat("What now?")
    assert nova.template("summary").source == "built-in"
    assert not (tmp_path / "other.db").exists()
