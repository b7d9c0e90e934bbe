"""Events reach the standard logging tree without secrets."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from supernova_ai.log import get_logger, in_request
from supernova_ai.secret import HIDDEN, Secret
from supernova_ai.store import Store
from supernova_ai.types import Request

TEXT = "open-sesame-7"


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="supernova_ai")


def test_an_event_is_its_name_and_its_values(caplog: pytest.LogCaptureFixture) -> None:
    """An event is one line: the dotted name, then key=value pairs in the given order."""
    get_logger("supernova_ai.ledger").info("ledger.hold.refused", budget="daily", needed=3)
    assert caplog.record_tuples == [
        ("supernova_ai.ledger", logging.INFO, "ledger.hold.refused budget=daily needed=3")
    ]


def test_every_logger_is_under_the_package(caplog: pytest.LogCaptureFixture) -> None:
    """Another name is placed below supernova_ai, so that one setting controls all loggers."""
    get_logger("plugin").warning("plugin.loaded")
    assert [record.name for record in caplog.records] == ["supernova_ai.plugin"]


def test_secrets_are_removed_from_names_and_values(caplog: pytest.LogCaptureFixture) -> None:
    """A secret is redacted in the event name, in text, and in nested data, errors and bytes."""
    secret = Secret(TEXT)
    get_logger("test").warning(
        f"key.seen.{TEXT}",
        text=f"the key is {TEXT}",
        nested={"headers": [f"Bearer {TEXT}"]},
        error=ValueError(TEXT),
        raw=TEXT.encode(),
        secret=secret,
        shaped="sk-abcdefgh12345678",
    )
    assert TEXT not in caplog.text
    assert "sk-abcdefgh" not in caplog.text
    assert caplog.text.count(HIDDEN) == 7


def test_positional_arguments_are_redacted_too(caplog: pytest.LogCaptureFixture) -> None:
    """An event with %-style arguments shows no secret."""
    secret = Secret(TEXT)
    get_logger("test").warning("key %s seen", secret.reveal())
    assert TEXT not in caplog.text


def test_a_percent_sign_is_only_a_percent_sign(caplog: pytest.LogCaptureFixture) -> None:
    """The text of an event is never used as a format."""
    get_logger("test").warning("budget.near", used="95%s")
    assert caplog.messages == ["budget.near used=95%s"]


def test_unconfigured_only_warnings_are_printed() -> None:
    """Without logging configured, info events are not printed, and warnings are, without secrets."""
    program = (
        "from supernova_ai.log import get_logger\n"
        "from supernova_ai.secret import Secret\n"
        f"secret = Secret({TEXT!r})\n"
        "log = get_logger('demo')\n"
        "log.info('quiet.event')\n"
        f"log.warning('loud.event', key={TEXT!r})\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert run.stderr == f"loud.event key={HIDDEN}\n"


def test_an_event_names_its_request(caplog: pytest.LogCaptureFixture) -> None:
    """Inside a request, also on the threads that it starts, each event has the request's id, once."""
    log = get_logger("test")
    with in_request(_request("r1")):
        log.info("one.event", request="r1")
        asyncio.run(asyncio.to_thread(log.info, "two.event", budget="daily"))
    log.info("three.event")
    assert caplog.messages == ["one.event request=r1", "two.event budget=daily request=r1", "three.event"]


def test_the_writer_logs_for_the_request(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """An operation that the writer runs, and what follows it, belong to the request that submitted it."""
    log = get_logger("test")
    with Store(tmp_path / "supernova.db") as store:
        with in_request(_request("r1")):
            writing = store.write(lambda _: log.info("in.operation"))
            writing.add_done_callback(lambda _: log.info("in.callback"))
        store.write(lambda _: log.info("of.nobody")).result()
    assert set(caplog.messages) == {"in.operation request=r1", "in.callback request=r1", "of.nobody"}


def test_a_traceback_is_one_line_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """``exception`` adds the traceback as a value."""
    secret = Secret(TEXT)
    try:
        raise ValueError(secret.reveal())
    except ValueError:
        get_logger("test").exception("it.failed")
    assert "ValueError: [redacted]" in caplog.text
    assert "\n" not in caplog.messages[0]


def _request(name: str) -> Request:
    return Request(id=name, messages=(), tier="standard", task="chat", max_tokens=1)
