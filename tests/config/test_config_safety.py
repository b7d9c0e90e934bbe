"""What production refuses, and files that other users may read or change."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai import Config, Supernova
from supernova_ai.config import Keys, Loaded, Logs, load
from supernova_ai.errors import ConfigError

Write = Callable[[str, str], Path]
BASE = "config/supernova.yaml"
PRODUCTION = {"SUPERNOVA_ENV": "production", "SUPERNOVA_HOME": "home"}
DEVELOPMENT = {"SUPERNOVA_HOME": "home"}


@pytest.fixture(autouse=True)
def _private(write: Write) -> None:
    write(BASE, "").chmod(0o600)


def refused(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    return str(caught.value)


def test_production_refuses_all_weak_settings_at_once(write: Write) -> None:
    """Each weak setting is named with its line and remedy, in one error; development accepts them."""
    write(
        BASE,
        "require_tls: false\nverify_tls: false\nkeys: {allow_environment: true}\nlogs:\n  level: debug\n",
    )
    found = refused(PRODUCTION)
    assert found.startswith("environment production cannot be used, 4 problems:")
    for line in (
        f"{BASE}:1: require_tls is false: production refuses it, because plain http",
        f"{BASE}:2: verify_tls is false: production refuses it, because any server",
        f"{BASE}:3: keys.allow_environment is true: production refuses it, because",
        f"{BASE}:5: logs.level is 'debug': production refuses it, because",
    ):
        assert line in found
    assert load(environ=DEVELOPMENT).refused == ()


def test_a_configuration_made_in_code_is_refused_too() -> None:
    """``Supernova(Config(…))`` has no file, and the same rules."""
    weak = Config(environment="production", keys=Keys(allow_environment=True), logs=Logs(level="debug"))
    with pytest.raises(ConfigError, match=r"argument: keys\.allow_environment is true"):
        Supernova(weak)
    assert Loaded.of(Config(environment="production"), environ=DEVELOPMENT).refused == ()


def test_variables_can_be_weak_too() -> None:
    """A weak setting from a variable is reported with the variable's name."""
    assert "SECURE_HEADERS_ENABLED: require_tls is false" in refused(
        PRODUCTION | {"SECURE_HEADERS_ENABLED": "false"}
    )


@pytest.mark.parametrize(
    ("name", "mode", "may"),
    [
        (BASE, 0o666, "change"),
        ("config/environments/production.yaml", 0o602, "change"),
        ("config/prompts/mine.md", 0o646, "change"),
        ("home/supernova-production.db", 0o640, "read or change"),
        ("master", 0o604, "read or change"),
        ("passphrase", 0o644, "read or change"),
        ("nova.log", 0o644, "read or change"),
    ],
)
def test_production_refuses_files_that_others_may_access(
    name: str, mode: int, may: str, write: Write
) -> None:
    """Settings and templates must not be written by others; keys, ledger and logs not even read."""
    write(BASE, "backup: {passphrase_file: passphrase}\nlogs: {file: nova.log}").chmod(0o600)
    environ = PRODUCTION | {"SUPERNOVA_MASTER_KEY_FILE": "master"}
    file = write(name, "" if name != BASE else "streaming: true")
    file.chmod(0o600)
    load(environ=environ)
    file.chmod(mode)
    found = refused(environ)
    assert f"has mode {mode:04o}, so other users may {may} it: `chmod 6" in found
    assert name in found


@pytest.mark.parametrize("named", ["{}/nova.db", "sqlite:///{}/nova.db", "~/nova.db"])
def test_production_refuses_a_database_that_others_may_read(
    named: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the configuration names the file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "nova.db"
    file.touch(0o600)
    write(BASE, f"database: {named.format(tmp_path)}")
    assert load(environ=PRODUCTION).database == str(file)
    file.chmod(0o644)
    assert f"{file} has mode 0644, so other users may read or change it" in refused(PRODUCTION)


def test_a_master_key_file_of_an_unknown_user_is_no_matter_of_the_configuration() -> None:
    """It is reported where the master key is needed."""
    assert load(environ=PRODUCTION | {"SUPERNOVA_MASTER_KEY_FILE": "~nobodyhere/key"}).refused == ()


def test_a_file_with_a_password_is_private(write: Write) -> None:
    """A file of settings may be read by others, unless a password or token is written in it."""
    write(BASE, "redis: redis://cache").chmod(0o644)
    load(environ=PRODUCTION)
    for setting in (
        "redis: redis://:pw@cache",
        "database: postgresql://ann:pw@db/nova",
        "alerts: {notify: ['slack://a/b']}",
    ):
        write(BASE, setting)
        assert f"{BASE} has mode 0644, so other users may read or change it" in refused(PRODUCTION)
    write(BASE, "alerts: {notify: ['vault:slack']}")
    load(environ=PRODUCTION)


def test_dotenv_is_private_in_production(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """``.env`` may hold keys."""
    write(".env", "LLM_STREAMING=true").chmod(0o644)
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"\.env has mode 0644"):
        load()


def test_development_warns_of_files_that_others_may_change(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """Outside production such a file is used, with a warning."""
    write(BASE, "").chmod(0o666)
    with caplog.at_level(logging.WARNING, "supernova_ai"):
        loaded = load(environ=DEVELOPMENT)
    assert loaded.warnings == (f"{BASE} has mode 0666, so other users may change it: `chmod 644 {BASE}`",)
    assert caplog.messages == [f"config.doubtful reason={loaded.warnings[0]}"]


def test_files_of_another_user_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this user and root may own the files; root uses files of others, except in production."""
    write("config/prompts/mine.md", "")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 7)
    if me == 0:  # files of root are fine for everybody
        load(environ=DEVELOPMENT)
        os.chown(BASE, 8, 8)
    assert re.search(rf"{BASE} belongs to another user .*: `chown {me + 7} {BASE}`", refused(DEVELOPMENT))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(load(environ=DEVELOPMENT).warnings) in (1, 2)
    assert "belongs to another user" in refused(PRODUCTION)
