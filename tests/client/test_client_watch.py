"""Watching: a client applies edits of its files by itself."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supernova_ai import ConfigError, Supernova
from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.config import Config
from supernova_ai.reload.versions import Version
from supernova_ai.testing import Failure, StubProvider
from tests import clients
from tests.processes import run_in_child
from tests.waiting import until

Stub = Callable[..., StubProvider]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the configuration over a stub, with more lines, as editors do: into a file that replaces it."""
    monkeypatch.chdir(tmp_path)
    url = stub_provider("Diversify.").url
    file = tmp_path / "config" / "supernova.yaml"
    file.parent.mkdir()

    def write(more: str = "", url: str = url) -> Path:
        new = file.with_suffix(".tmp")
        new.write_text(
            f"database: {tmp_path / 'supernova.db'}\n"
            f"providers: {{openai: {{api_base: '{url}/v1', models: {{standard: gpt-4o-mini}}, keys: []}}}}\n"
            f"routing: {{priority: [openai], retries: 0}}\n{more}"
        )
        return new.replace(file)

    return write


@pytest.fixture
def nova(write: Write) -> Iterator[Supernova]:
    nova = Supernova(write(), master=clients.MASTER, watch=True)
    asyncio.run(nova.warm_up())
    yield nova
    nova.close()


def versions(nova: Supernova) -> list[Version]:
    return nova._runtime.versions.newest(99)[::-1]


async def test_an_edit_is_applied(nova: Supernova, write: Write) -> None:
    """An edit is applied without a call of reload, and is a version with the cause watch."""
    write("streaming: true\n")
    await until(lambda: nova.config.streaming)
    assert [version.cause for version in versions(nova)] == ["start", "watch"]
    assert (await nova.chat("What now?")).content == "Diversify."


async def test_a_wrong_edit_is_refused(nova: Supernova, write: Write) -> None:
    """A wrong edit is recorded and alerted; the last good configuration stays, until an edit is right."""
    write("streaming: 7\n")
    await until(lambda: [e for e in nova._runtime._vault.audit_events() if e.event == "config.refused"])
    assert (await nova.chat("What now?")).content == "Diversify."
    [alert] = nova.store().read(list_alerts)
    assert alert.kind == "config"
    assert "streaming is 7" in (alert.message or "")
    write("streaming: true\n")
    await until(lambda: nova.config.streaming)


@pytest.mark.parametrize("content", ["", "\n", None])
async def test_an_emptied_or_deleted_file_is_refused(write: Write, content: str | None) -> None:
    """A save that failed leaves nothing in the file; the defaults do not come into force by that."""
    file = write()
    nova = Supernova(master=clients.MASTER)
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="is gone" if content is None else "is empty"):
        await nova.reload()
    assert nova.config.routing.retries == 0


async def test_prompts_and_env_are_watched(
    nova: Supernova, write: Write, tmp_path: Path, stub_provider: Stub
) -> None:
    """A new template, an edited one and a key in .env take effect too."""
    prompts = tmp_path / "config" / "prompts"
    prompts.mkdir()
    text = "---\nname: mine\nversion: 1\ntask: chat\n---\nBe {}.\n"
    (prompts / "mine.md").write_text(text.format("brief"))
    await until(lambda: "mine" in nova._library.names())
    (prompts / "mine.md").write_text(text.format("long"))
    await until(lambda: len(versions(nova)) == 3)
    (tmp_path / ".env").write_text("LLM_STREAMING=true\nOPENAI_API_KEY=sk-test-0123456789abcdef\n")
    await until(lambda: nova.config.streaming)
    assert nova._runtime.keys.environ["OPENAI_API_KEY"].startswith("sk-test")


async def test_a_link_is_swapped(tmp_path: Path, write: Write) -> None:
    """Kubernetes swaps the link of a folder; the new content is applied."""
    file = write()
    mounted = tmp_path / "mounted"
    for name, more in (("..one", ""), ("..two", "streaming: true\n")):
        (mounted / name).mkdir(parents=True)
        (mounted / name / "supernova.yaml").write_text(file.read_text() + more)
    (mounted / "..data").symlink_to("..one")
    (mounted / "supernova.yaml").symlink_to("..data/supernova.yaml")
    async with Supernova(mounted / "supernova.yaml", master=clients.MASTER, watch=True) as nova:
        await nova.warm_up()
        (mounted / "..new").symlink_to("..two")
        (mounted / "..new").replace(mounted / "..data")
        await until(lambda: nova.config.streaming)


async def test_an_edit_before_the_first_call(write: Write) -> None:
    """What was edited after the client was made and before its first call is applied as well."""
    async with Supernova(write(), master=clients.MASTER, watch=True) as nova:
        write("streaming: true\n")
        await nova.warm_up()
        await until(lambda: nova.config.streaming)


async def test_a_file_that_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that began with the built-in defaults applies a file that is made where one is looked for."""
    monkeypatch.chdir(tmp_path)
    async with Supernova(master=clients.MASTER, watch=True) as nova:
        await nova.warm_up()
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "supernova.yaml").write_text("streaming: true\n")
        await until(lambda: nova.config.streaming)


async def test_watch_begins_later(write: Write) -> None:
    """An open client can begin to watch; closing it ends the thread."""
    async with Supernova(write(), master=clients.MASTER) as nova:
        await nova.warm_up()
        nova.watch()
        write("streaming: true\n")
        await until(lambda: nova.config.streaming)
    assert "supernova-watcher" not in {thread.name for thread in threading.enumerate()}


def test_a_config_made_in_code_has_no_files() -> None:
    """A configuration made in code cannot be watched, and the error says so."""
    with pytest.raises(ConfigError, match="has no files to watch"):
        Supernova(Config(), watch=True)


def test_a_fork_watches_too(nova: Supernova, write: Write) -> None:
    """A child process that uses the client watches by itself."""

    def child() -> None:
        asyncio.run(nova.warm_up())
        write("streaming: true\n")
        asyncio.run(until(lambda: nova.config.streaming))
        os._exit(7)

    assert run_in_child(child) == 7


@pytest.mark.parametrize(("rollback", "served"), [(True, True), (False, False)])
async def test_the_check_after_an_edit(
    nova: Supernova, write: Write, stub_provider: Stub, rollback: bool, served: bool
) -> None:
    """If no provider is well after an edit, it is rolled back where that is set; the file keeps it."""
    bad = stub_provider(Failure(500), probe=Failure(500))
    write(f"reload: {{check: probe, rollback: {str(rollback).lower()}}}\n", url=bad.url)
    wanted = ["start", "watch", *(["rollback"] if rollback else [])]
    await until(lambda: [version.cause for version in versions(nova)] == wanted)
    await until(lambda: (nova.config.reload.check == "probe") is not rollback)
    told = "No provider was well after the edit: openai" if rollback else "no provider is well with version 2"
    await until(lambda: told in (nova.store().read(list_alerts)[-1].message or ""))
    if served:
        assert (await nova.chat("What now?")).content == "Diversify."
        assert versions(nova)[0].settings == versions(nova)[2].settings
