"""A canary key is used wherever a key is, and then searched for in everything that could show it."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pickle
import re
import sqlite3
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from supernova_ai import Supernova, SupernovaError
from supernova_ai.cli import main
from supernova_ai.serve import create_app
from supernova_ai.testing import Answer, Failure, Hang, Reset, Step, StubProvider
from tests.evidence import Evidence, chain
from tests.waiting import SENT_S

pytestmark = pytest.mark.proof

CANARY = "Canary7f3a9d5e1b"
# The first key has no known format, by which it could be redacted. OpenAI comes last: what its client logs
# of a failure includes the failures before it.
KEYS = {"mistral": f"{CANARY}xyz", "anthropic": f"sk-ant-{CANARY}", "openai": f"sk-{CANARY}"}
MODELS = {"mistral": "mistral-small", "anthropic": "claude-haiku-4-5", "openai": "gpt-4o-mini"}
EMBED = {"mistral": "mistral-embed", "openai": "text-embedding-3-small"}


def forms(text: str) -> list[str]:
    """Return the forms in which a provider may repeat the text."""
    encoded = b64encode(text.encode()).decode()
    return [text, text.upper(), text[::-1], encoded.strip("="), text.encode().hex()]


REFUSALS = {
    name: [Failure(status, f"Key {' '.join(forms(key))} is no good") for status in (401, 400, 500)]
    for name, key in KEYS.items()
}
"""Refusals that repeat the refused key, by provider."""
LEAKS = {form for text in (CANARY, *KEYS.values()) for form in forms(text)}


def leaks(text: str) -> bool:
    """Return whether the text has a key in any form."""
    return any(form in text for form in LEAKS)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """Run once everything that uses a key, with every logger at DEBUG."""
    found = Evidence(tmp_path_factory.mktemp("canary"))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        for name in filter(re.compile("(LLM|SUPERNOVA|OPENAI|ANTHROPIC|MISTRAL)_").match, list(os.environ)):
            patch.delenv(name)
        patch.chdir(found.folder)
        patch.setenv("PYTHONASYNCIODEBUG", "1")
        import supernova_ai.execution.engine  # noqa: F401 - so that LiteLLM's loggers exist

        loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
        for logger in loggers:
            patch.setattr(logger, "level", logging.DEBUG)
            undo.callback(logger.removeHandler, found.logs)
            logger.addHandler(found.logs)
            logger.manager._clear_cache()  # type: ignore[attr-defined]
        terminal = io.TextIOWrapper(found.output, write_through=True)
        with redirect_stdout(terminal), redirect_stderr(terminal):
            run(found, patch)
        yield found


def run(found: Evidence, patch: pytest.MonkeyPatch) -> None:
    master = found.folder / "master.key"
    master.touch(0o600)
    master.write_text("5a" * 32)
    patch.setenv("SUPERNOVA_MASTER_KEY_FILE", str(master))
    with StubProvider("Diversify, always.") as stub:
        config = configure(found.folder / "usual.yaml", stub.url)
        for provider, key in KEYS.items():
            command("keys", "add", provider, "--config", config, given=key)
        command("keys", "add", "openai", "--config", config, given=f"{KEYS['anthropic']} ")
        for provider in KEYS:
            alone = configure(found.folder / f"{provider}.yaml", stub.url, [provider])
            asyncio.run(use(found, alone, stub, REFUSALS[provider]), debug=True)
        asyncio.run(use_together(found, config, stub), debug=True)
        command("chat", "What now?", "--json", "--config", config)
        stub.reply = REFUSALS["openai"][0]
        command("chat", "What now?", "--config", config)
        ask_server(found, config)
        operate(found.folder, config)
        for words in (
            ["keys", "list"],
            ["keys", "status"],
            ["audit", "verify"],
            ["costs"],
            ["config", "show"],
        ):
            command(*words, "--json", "--config", config)
            command(*words, "--config", config)
    asyncio.run(refuse(found), debug=True)
    found.keep_files()


def ask_server(found: Evidence, config: str) -> None:
    """Ask the server with its token and with a wrong one, plain and streamed, while providers refuse."""
    token = f"{CANARY}-of-the-server"
    nova = Supernova(config)
    app = create_app(nova, token=token)
    http = TestClient(app, base_url="http://127.0.0.1")
    for given in (token, f"{CANARY}-wrong"):
        for streamed in (False, True):
            body = {"model": "default", "messages": [{"role": "user", "content": "Hi"}], "stream": streamed}
            headers = {"authorization": f"Bearer {given}"}
            response = http.post("/v1/chat/completions", json=body, headers=headers)
            found.shown += [response.text, repr(response.headers)]
    found.show(app)
    nova.close()


def operate(folder: Path, config: str) -> None:
    """Run every operation that has to do with a key: what it writes is evidence too."""
    for name in ("pass", "wrong"):
        (folder / name).touch(0o600)
        (folder / name).write_text(f"{name} phrase of 16 letters")
    right, wrong = (("--passphrase-file", str(folder / name)) for name in ("pass", "wrong"))
    saved = str(folder / "saved.backup")
    rotated = f"sk-{CANARY}-rotated"
    for words, given in (
        (["keys", "check", "--all"], ""),
        (["keys", "rotate", "openai"], rotated),  # refused by the probe
        (["keys", "rotate", "openai", "--no-check"], rotated),
        (["keys", "expire", "openai", "--at", "2099-01-01"], ""),
        (["keys", "rotate-master", "--to", "file"], ""),
        (["config", "set", "routing.retries", "1"], ""),
        (["config", "set", "routing.retries", rotated], ""),
        (["config", "history"], ""),
        (["config", "diff"], ""),
        (["config", "rollback"], ""),
        (["backup", "create", "--to", saved, *right], ""),
        (["backup", "verify", saved, *right], ""),
        (["backup", "verify", saved, *wrong], ""),
        (["backup", "restore", saved, "--into", str(folder / "restored"), *right], ""),
        (["backup", "restore", saved, "--into", str(folder / "refused"), *wrong], ""),
        (["maintain"], ""),
        (["jobs"], ""),
        (["audit", "list"], ""),
        (["audit", "export"], ""),
        (["audit", "export", "--format", "cef"], ""),
        (["doctor", "--offline"], ""),
        (["keys", "revoke", "mistral", "--version", "1", "--yes"], ""),
        (["keys", "add", "mistral"], KEYS["mistral"]),
    ):
        command(*words, "--config", config, given=given)


def configure(file: Path, url: str, priority: list[str] | None = None, **settings: Any) -> str:
    providers = {
        name: {
            "api_base": url if name == "anthropic" else f"{url}/v1",
            "models": {"standard": model, "economy": None, "premium": None, "embedding": EMBED.get(name)},
            "keys": ["primary"],
            "prices": {model: {"input": "1", "output": "1"}},
        }
        for name, model in MODELS.items()
    }
    breaker = {"failures": 1000, "cooldown": 0.001}
    routing = {"priority": priority or list(MODELS), "retries": 0, "breaker": breaker}
    written = {"database": str(file.parent / "supernova.db"), "providers": providers, "routing": routing}
    logs = {"level": "debug"}  # a command sets the level of this process
    file.write_text(yaml.safe_dump(written | {"logs": logs} | settings))
    return str(file)


def command(*words: str, given: str = "") -> None:
    """Run the command as from a terminal."""
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.setattr(sys, "argv", ["supernova", *words])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        main()


async def failing(found: Evidence, call: Callable[[], Any]) -> None:
    try:
        await call()
    except SupernovaError as error:
        found.errors.append(error)


async def use(found: Evidence, config: str, stub: StubProvider, refusals: list[Failure]) -> None:
    """Call one provider: answers, refusals that repeat the key, breaks, silence, and calls that are left."""
    async with Supernova(config) as nova:
        steps: list[Step] = [*refusals, Reset(), Reset(1), Hang()]
        for streaming in (False, True):
            ask = partial(nova.chat, "What now?", streaming=streaming, on_interrupt="raise")
            found.show(await ask())
            for step in steps:
                stub.script.append(step)
                await failing(found, partial(ask, timeout=SENT_S) if step == Hang() else ask)
        if nova.config.active_providers[0] in EMBED:
            found.show(await nova.embed("Profit rose."))
            for refusal in refusals:
                stub.script.append(refusal)
                await failing(found, partial(nova.embed, "Profit rose."))
        stub.reply = Answer("Diversify, always.", gate=Event())
        async with nova.stream("What now?") as stream:
            await anext(stream)
            found.show(stream)
        task = asyncio.create_task(nova.chat("What now?"))
        await asyncio.to_thread(stub.wait_for_requests, len(stub.chats) + 1)
        task.cancel()
        await asyncio.wait([task])
        stub.reply = "Diversify, always."


async def use_together(found: Evidence, config: str, stub: StubProvider) -> None:
    """Fail over from provider to provider, each with its own key, and record the client and its parts."""
    async with Supernova(config) as nova:
        stub.script.extend(refusals[0] for refusals in REFUSALS.values())
        await failing(found, partial(nova.chat, "What now?"))
        found.keep_files()  # while the write-ahead log exists
        for thing in (
            nova,
            nova.config,
            nova._runtime.engine,
            nova._runtime.engine._router,
            nova._runtime.engine._deployments,
        ):
            found.show(thing)
        found.show(nova._runtime.engine._router.model_list)
        found.show(vars(nova._runtime.engine._router))


async def refuse(found: Evidence) -> None:
    """Cause errors of ours while LiteLLM handles a provider's: an exceeded budget, and a corrupt key."""
    tiny = {"name": "tiny", "limit": "0.0000001", "per": "day", "provider": "anthropic"}
    with StubProvider(REFUSALS["openai"][0]) as stub:
        async with Supernova(configure(found.folder / "tiny.yaml", stub.url, budgets=[tiny])) as nova:
            for streaming in (False, True):
                await failing(found, partial(nova.chat, "What now?", streaming=streaming))
        with sqlite3.connect(found.folder / "supernova.db") as database:
            database.execute("UPDATE api_key SET sealed = zeroblob(99) WHERE provider = 'anthropic'")
        database.close()
        for priority in (["anthropic"], ["openai", "anthropic"]):
            async with Supernova(configure(found.folder / "corrupt.yaml", stub.url, priority)) as nova:
                await failing(found, partial(nova.chat, "What now?"))


def test_evidence_is_complete(evidence: Evidence) -> None:
    """The key was used: requests were answered and refused, and the evidence shows each kind of error."""
    kinds = {type(error).__name__ for error in evidence.errors}
    assert {"AuthenticationFailed", "RequestRejected", "ProviderUnavailable", "ProviderTimeout"} <= kinds
    assert {"StreamInterrupted", "BudgetExceeded", "KeyCorrupt"} <= kinds
    assert sum("is no good" in str(error) for error in evidence.errors) > 15
    assert any("litellm.log" in line for line in evidence.logs.lines)
    assert "[redacted] is no good" in evidence.printed
    for done in (
        "version 3 is active",
        "is whole",
        "passphrase is wrong",
        "restored the backup",
        "revoked mistral",
    ):
        assert done in evidence.printed
    assert any(name.startswith("saved.backup") for name in evidence.files)
    for code in ("provider_authentication_failed", "invalid_api_key"):  # what the server answered
        assert sum(code in text for text in evidence.shown) == 2


def test_not_in_logs(evidence: Evidence) -> None:
    """No log record at DEBUG has a key, with those of LiteLLM, its HTTP clients and asyncio."""
    assert [line for line in evidence.logs.lines if leaks(line)] == []


def test_not_printed(evidence: Evidence) -> None:
    """No command prints a key, as text or as JSON."""
    assert not leaks(evidence.printed)


def test_not_in_files(evidence: Evidence) -> None:
    """No file has a key: the database, its write-ahead log, and the files beside them."""
    assert any(name.startswith("supernova.db-wal") for name in evidence.files)
    assert [name for name, data in evidence.files.items() for leak in LEAKS if leak.encode() in data] == []


def test_not_shown(evidence: Evidence) -> None:
    """No object shows a key: replies, streams, the client, its configuration, LiteLLM's list of models."""
    assert len(evidence.shown) > 100
    assert [text for text in evidence.shown if leaks(text)] == []


def test_not_in_errors(evidence: Evidence) -> None:
    """No error, and none of its causes, has a key: as text, pickled, or in a traceback with locals."""
    assert len(evidence.errors) > 35
    for error in evidence.errors:
        for link in chain(error):
            formatted = traceback.TracebackException.from_exception(link, capture_locals=True).format()
            texts = ["".join(formatted), repr(link), str(link), repr(vars(link)), repr(link.args)]
            assert [text for text in texts if leaks(text)] == []
        assert CANARY.encode() not in pickle.dumps(error)
