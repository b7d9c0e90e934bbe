"""Events reach the standard logging tree without secrets."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from supernova_ai.log import get_logger
from supernova_ai.secret import HIDDEN, Secret

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
