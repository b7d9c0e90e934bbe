"""How our own processes log: where, in which form, and without the names of users."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import Config
from supernova_ai.config import Logs, configure_logging
from supernova_ai.errors import ConfigError
from supernova_ai.log import get_logger, in_request
from supernova_ai.log.setup import pseudonym, use_user_key
from supernova_ai.secret import Secret
from supernova_ai.types import Request

Configure = Callable[..., None]


@pytest.fixture
def configure() -> Configure:
    """Set up logging with these settings of ``logs``."""

    def configure(environment: str = "development", *, terminal: bool = False, **logs: Any) -> None:
        configure_logging(Config(environment=environment, logs=Logs(**logs)), terminal=terminal)

    return configure


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    return lambda: capsys.readouterr().err.splitlines()


def test_production_logs_json(configure: Configure, lines: Callable[[], list[str]]) -> None:
    """In production an event is one JSON object with time, level, name, logger, process and values."""
    configure("production")
    get_logger("ledger").warning("ledger.hold.refused", budget="daily", needed=3, left=None, level="x")
    (line,) = lines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert isinstance(found.pop("pid"), int)
    assert found == {
        "level": "warning",
        "event": "ledger.hold.refused",
        "logger": "supernova_ai.ledger",
        "budget": "daily",
        "needed": 3,
        "left": None,
        "level_": "x",
    }


def test_development_logs_text(configure: Configure, lines: Callable[[], list[str]]) -> None:
    """In development an event is a line with time, level, name and values; a traceback follows it."""
    configure()
    get_logger("ledger").info("ledger.hold.refused", budget="daily")
    try:
        raise ValueError("wrong")
    except ValueError:
        get_logger("ledger").exception("it.failed")
    first, second, *traceback = lines()
    assert first[20:] == "INFO    ledger.hold.refused budget=daily"
    assert second[20:] == "ERROR   it.failed exception=Traceback (most recent call last):"
    assert traceback[-1] == "    ValueError: wrong"


def test_the_level_is_of_our_events(configure: Configure, lines: Callable[[], list[str]]) -> None:
    """``level`` decides which of our events are written; of other packages only warnings are."""
    configure(level="debug")
    get_logger("x").debug("ours.debug")
    logging.getLogger("other").info("theirs")
    logging.getLogger("other").warning("theirs.warning")
    configure(level="error")
    get_logger("x").warning("ours.warning")
    assert [line.split()[-1] for line in lines()] == ["ours.debug", "theirs.warning"]


def test_a_command_shows_warnings_only(
    configure: Configure, lines: Callable[[], list[str]], tmp_path: Path
) -> None:
    """A person at a command sees warnings as text, also if all goes into a file."""
    file = tmp_path / "logs" / "nova.log"
    configure("production", terminal=True, file=file)
    get_logger("x").info("ours.info")
    get_logger("x").warning("ours.warning")
    assert [line.split()[-1] for line in lines()] == ["ours.warning"]
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == [
        "ours.info",
        "ours.warning",
    ]


def test_a_second_set_up_replaces_the_first(configure: Configure, lines: Callable[[], list[str]]) -> None:
    """No event is written twice, and handlers of the program stay."""
    theirs = logging.NullHandler()
    logging.getLogger().addHandler(theirs)
    configure()
    configure()
    get_logger("x").warning("ours.warning")
    assert len(lines()) == 1
    assert theirs in logging.getLogger().handlers
    logging.getLogger().removeHandler(theirs)


def test_no_line_has_a_secret_or_a_control_character(
    configure: Configure, lines: Callable[[], list[str]]
) -> None:
    """Messages and tracebacks of other packages are redacted too, and cannot write a line of their own."""
    secret = Secret("open-sesame-7")
    for environment in ("development", "production"):
        configure(environment)
        try:
            raise ValueError(f"with {secret.reveal()}")
        except ValueError:
            logging.getLogger("other").exception("%s failed\n2026-01-01 forged", secret.reveal())
    written = "\n".join(lines())
    assert "open-sesame" not in written
    assert written.count("[redacted]") == 4
    assert not any(line.startswith("2026-01-01 forged") for line in written.splitlines())


def test_users_are_hashed_in_production(configure: Configure, lines: Callable[[], list[str]]) -> None:
    """Ids of users and sessions are replaced in their fields, and those of the request in every text."""
    request = Request(
        id="r1",
        messages=(),
        tier="standard",
        task="chat",
        max_tokens=1,
        user_id="ann@example.com",
        session_id="s-77",
    )
    log = get_logger("x")
    use_user_key(b"key of the store")
    configure("production")
    with in_request(request):
        log.warning("budget.full", user=7, error="user ann@example.com in s-77 has 0 USD", session_id="s-77")
    hashed = json.loads(lines()[0])
    assert hashed["user"] == pseudonym("7")
    assert hashed["session_id"] == pseudonym("s-77")
    assert hashed["error"] == f"user {pseudonym('ann@example.com')} in {pseudonym('s-77')} has 0 USD"
    assert hashed["request"] == "r1"
    configure("production", hash_users=False)
    log.warning("budget.full", user=7)
    assert json.loads(lines()[0])["user"] == 7


def test_a_file_that_cannot_be_written_is_an_error(configure: Configure, tmp_path: Path) -> None:
    """A folder, a device or a file in a foreign folder is refused when logging is set up."""
    (tmp_path / "file").touch()
    for wrong in (tmp_path, Path("/dev/null"), tmp_path / "file" / "x.log"):
        with pytest.raises(ConfigError, match=r"logs\.file .* cannot be written"):
            configure(file=wrong)


def test_a_system_without_file_locks_logs_to_standard_error(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a log file is refused, because lines would be lost when it is rotated."""
    monkeypatch.setitem(sys.modules, "supernova_ai.log.rotation", None)
    with pytest.raises(ConfigError, match="log to standard error"):
        configure(file=tmp_path / "x.log")
    configure()
