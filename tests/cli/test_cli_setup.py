"""``supernova setup``: what is missing is made, and what is there stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keyring
import pytest
from keyring.backends.fail import Keyring as FailKeyring

from supernova_ai import config as configuration
from supernova_ai.cli import setup as command
from supernova_ai.keys import open_vault
from supernova_ai.operations.setup import steps
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider
from tests.cli.conftest import KEY, Supernova

Configure = Callable[..., Path]
QUIET = ("--yes", "--no-test")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a master key and without a keyring."""
    monkeypatch.delenv("API_KEY_ENCRYPTION_KEY", raising=False)
    monkeypatch.setattr(keyring, "get_keyring", FailKeyring)


def outcomes(out: str) -> dict[str, str]:
    """Return the outcome of each step in the report on the screen."""
    lines = re.findall(r"(?m)^ *(done|kept|skipped|failed)  ([^:]+):", out)
    return {name: outcome for outcome, name in lines}


def test_a_machine_without_a_keyring_gets_a_key_file(
    supernova: Supernova, folder: Path, supernova_home: Path
) -> None:
    """With --yes everything is made without a question; then keys can be stored, and doctor is content."""
    result = supernova("setup", *QUIET)
    assert result.code == 0, result.out + result.err
    assert (folder / "config" / "supernova.yaml").read_text().startswith("# SuperNova AI.")
    assert "OPENAI_API_KEY" in (folder / ".env.example").read_text()
    file = supernova_home / "master.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in result.out
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    assert supernova("doctor", "--offline").code == 0


def test_a_second_run_changes_nothing(supernova: Supernova, folder: Path, supernova_home: Path) -> None:
    """Each file and the master key stay as they are; the same answers may be given again."""
    answers = ("--env", "development", "--daily", "50", "--monthly", "1000.00")
    supernova("setup", *QUIET)
    files = (folder / "config" / "supernova.yaml", supernova_home / "master.key")
    kept = {path: path.read_bytes() for path in files}
    result = supernova("setup", *QUIET, *answers)
    assert result.code == 0
    assert {path: path.read_bytes() for path in kept} == kept
    found = outcomes(result.out)
    assert found["configuration"] == found["master key"] == found["variables"] == "kept"


@pytest.mark.parametrize(
    ("option", "answer", "key"),
    [
        ("--env", "production", "environment"),
        ("--daily", "7", "budgets.daily.limit"),
        ("--monthly", "70", "budgets.monthly.limit"),
    ],
)
def test_an_answer_that_a_configuration_has_not_is_refused(
    supernova: Supernova, folder: Path, option: str, answer: str, key: str
) -> None:
    """It would change the configuration that is there: the message has the command for that."""
    supernova("setup", *QUIET)
    result = supernova("setup", *QUIET, option, answer)
    assert result.code == 2
    command = f"supernova config set {key} {answer} --config config/supernova.yaml"
    assert command in re.sub(r"[\s│]+", " ", result.err)


def test_the_file_may_be_named_with_a_tilde(
    supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the user's home folder, as where the configuration is read."""
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("SUPERNOVA_CONFIG", "~/config/supernova.yaml")
    assert supernova("setup", *QUIET).code == 0
    assert (folder / "home" / "config" / "supernova.yaml").exists()
    refused = supernova("setup", *QUIET, "--config", "~nobodyhere/supernova.yaml")
    assert (refused.code, "there is no home folder" in refused.err) == (3, True)


def test_answers_go_into_a_new_configuration(supernova: Supernova, folder: Path) -> None:
    """Budgets and the environment are changed in the commented file, whose comments stay."""
    result = supernova("setup", *QUIET, "--env", "staging", "--daily", "7.5", "--monthly", "90")
    assert result.code == 0, result.out
    shown = supernova("config", "show", "--json").json["config"]
    assert shown["environment"] == "staging"
    assert [budget["limit"] for budget in shown["budgets"]] == ["7.5", "90"]
    assert "# Limits in USD" in (folder / "config" / "supernova.yaml").read_text()


def test_without_a_terminal_the_missing_options_are_named(supernova: Supernova, folder: Path) -> None:
    """A script that does not say --yes must give each answer; nothing was made."""
    result = supernova("setup", "--daily", "5")
    assert result.code == 2
    for option in ("--env", "--monthly", "--master", "--test", "--yes"):
        assert option in result.err
    assert "--daily," not in result.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--daily", "many"), "'many' is not an amount of money"),
        (("--monthly", "0"), "more than 0 USD"),
        (("--daily", "-1"), "-1"),
        (("--env", "prodution"), "Did you mean 'production'?"),
        (("--key-file", "openai"), "PROVIDER=FILE"),
        (("--key-file", "openai/third=x"), "PROVIDER=FILE"),
        (("--key-file", "openai=missing"), "missing"),
        (("--key-file", "openai=../empty"), "../empty: the key is empty"),
        (("--key-file", "opnai=/etc/hostname"), "'opnai' is not configured; use one of: openai, anthropic"),
    ],
)
def test_a_wrong_answer_is_refused_before_anything_is_made(
    supernova: Supernova, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    """The message names the answer; no file was written."""
    (folder.parent / "empty").write_text("\n")
    result = supernova("setup", *QUIET, *arguments)
    assert result.code == 2
    assert said in re.sub(r"[\s│]+", " ", result.err)
    assert list(folder.iterdir()) == []


def test_a_configuration_that_cannot_be_written_is_one_error(supernova: Supernova, folder: Path) -> None:
    """Where the folder of the configuration cannot be made, the error names it and the reason."""
    (folder / "config").write_text("a file, not a folder")
    result = supernova("setup", *QUIET)
    assert result.code == 3
    assert "error: config/supernova.yaml cannot be written (config: File exists): run this" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_wrong_answer_is_asked_for_again(script: str, folder: Path) -> None:
    """Each question says what is wrong and asks again, before the next question."""
    (folder / "key").write_text(KEY)
    terminal, side = os.openpty()
    os.write(terminal, b"prodution\nstaging\n0\nmany\n7.5\n\nfil\nfile\n")
    command = [script, "setup", "--no-test", "--key-file", "openai=key"]
    run = subprocess.run(command, stdin=side, capture_output=True, text=True, timeout=60)
    os.close(side)
    os.close(terminal)
    assert run.returncode == 0, run.stdout + run.stderr
    errors = re.findall(r"Error: (.*?)(?=Environment|Daily|Monthly|Master|\n)", run.stdout)
    assert [error.strip() for error in errors] == [
        "'prodution' must be one of development, staging, production. Did you mean 'production'?",
        "a budget must be more than 0 USD, not 0",
        "'many' is not an amount of money: write it as 5.00",
        "'fil' must be one of keyring, file, credential. Did you mean 'file'?",
    ]
    text = (folder / "config" / "supernova.yaml").read_text()
    assert "environment: staging" in text
    assert "limit: 7.5" in text


def test_keys_are_imported_from_env_and_emptied_there(supernova: Supernova, folder: Path) -> None:
    """With --blank, .env keeps its other lines; the key works from the vault."""
    env = folder / ".env"
    env.write_text(f"# mine\nLLM_STREAMING=false\nOPENAI_API_KEY={KEY}\nOTHER='x y'\n")
    env.chmod(0o600)
    result = supernova("setup", *QUIET, "--blank")
    assert result.code == 0, result.out
    assert env.read_text() == "# mine\nLLM_STREAMING=false\nOPENAI_API_KEY=\nOTHER='x y'\n"
    assert env.stat().st_mode & 0o777 == 0o600
    assert KEY not in result.out
    (key,) = supernova("keys", "list", "--json").json
    assert (key["provider"], key["slot"], key["state"]) == ("openai", "primary", "active")


def test_without_blank_env_stays(supernova: Supernova, folder: Path) -> None:
    """Nothing is taken away that was not asked for."""
    text = f"OPENAI_API_KEY={KEY}\n"
    (folder / ".env").write_text(text)
    assert supernova("setup", *QUIET).code == 0
    assert (folder / ".env").read_text() == text


def test_a_key_of_a_file_is_stored_once(supernova: Supernova, folder: Path) -> None:
    """A second run finds the same key in the vault."""
    (folder / "key").write_text(KEY + "\n")
    for outcome in ("done", "kept"):
        result = supernova("setup", *QUIET, "--key-file", "openai=key")
        assert outcomes(result.out)["keys"] == outcome
    assert len(supernova("keys", "list", "--json").json) == 1


def test_a_key_has_only_the_fields_that_it_needs(supernova: Supernova, folder: Path) -> None:
    """What a provider's file has besides is not stored, as with ``keys add``."""
    settings = "providers: {aws: {type: bedrock, region: eu-west-1, models: {standard: m}}}\n"
    (folder / "own.yaml").write_text(settings)
    fields = {"aws_access_key_id": "AKIA0123456789ABCDEF", "aws_secret_access_key": "s" * 40}
    (folder / "key").write_text(json.dumps(fields | {"comment": "mine"}))
    result = supernova("setup", *QUIET, "--config", "own.yaml", "--key-file", "aws=key")
    assert result.code == 0, result.out + result.err
    with Store(configuration.load(folder / "own.yaml").database) as store:
        stored = open_vault(store).reveal("aws", "primary")
    assert json.loads(stored.reveal()) == fields


def test_a_missing_master_key_is_never_replaced(
    supernova: Supernova, folder: Path, supernova_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one would not open the keys: the step fails, says once what to do, and makes nothing."""
    (folder / "master").touch(0o600)
    (folder / "master").write_text("5e" * 32)
    monkeypatch.setenv("SUPERNOVA_MASTER_KEY_FILE", "master")
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    monkeypatch.delenv("SUPERNOVA_MASTER_KEY_FILE")
    result = supernova("setup", *QUIET, "--master", "file")
    assert (result.code, outcomes(result.out)["master key"]) == (1, "failed")
    assert result.out.count("the master key is missing") == 1
    assert "has another one" not in result.out
    assert not (supernova_home / "master.key").exists()


@pytest.fixture
def systemd_creds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Let this shell script be ``systemd-creds``, and return the file of the credential."""
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    credential = folder / "credential"
    monkeypatch.setattr(steps, "CREDENTIAL_FILE", credential)

    def write(script: str) -> Path:
        (folder / "bin").mkdir(exist_ok=True)
        command = folder / "bin" / "systemd-creds"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o700)
        return credential

    return write


def test_with_a_credential_keys_are_added_by_a_service(
    supernova: Supernova, folder: Path, systemd_creds: Callable[[str], Path]
) -> None:
    """Setup cannot read it: it says how to add keys, and a second run makes no other one."""
    credential = systemd_creds('cat > "$4"')
    (folder / "key").write_text(KEY)
    for outcome in ("done", "kept"):
        result = supernova("setup", "--yes", "--master", "credential", "--key-file", "openai=key")
        assert result.code == 0, result.out + result.err
        found = outcomes(result.out)
        assert (found["master key"], found["keys"], found["test call"]) == (outcome, "skipped", "skipped")
        assert "systemd-run --pty --property=LoadCredentialEncrypted=supernova-master" in result.out
    assert len(credential.read_text()) == 64
    assert credential.read_text() not in result.out


def test_what_systemd_creds_says_is_shown(supernova: Supernova, systemd_creds: Callable[[str], Path]) -> None:
    """Its reason is part of the failed step."""
    systemd_creds("echo No TPM2 device >&2; exit 1")
    result = supernova("setup", *QUIET, "--master", "credential")
    assert result.code == 1
    assert "systemd-creds failed: No TPM2 device" in result.out


def test_the_test_call_asks_the_model(supernova: Supernova, folder: Path, configure: Configure) -> None:
    """It is one cheap question, and the report says who answered and what it cost."""
    (folder / "key").write_text(KEY)
    with StubProvider("ready") as stub:
        configure(stub.url)
        result = supernova("setup", "--yes", "--key-file", "openai=key")
        assert result.code == 0, result.out
        assert len(stub.requests) == 1
    assert "openai/gpt-6-luna answered for $" in result.out


def test_a_test_call_that_fails_says_why(supernova: Supernova, folder: Path, configure: Configure) -> None:
    """The exit code is 1, and all that was set up stays."""
    (folder / "key").write_text(KEY)
    configure("http://127.0.0.1:9")
    result = supernova("setup", "--yes", "--key-file", "openai=key")
    assert result.code == 1
    assert "failed  test call" in result.out
    assert len(supernova("keys", "list", "--json").json) == 1


@pytest.mark.parametrize("name", ["report.md", "report.json"])
def test_the_report_is_written(supernova: Supernova, folder: Path, name: str) -> None:
    """Markdown, or JSON by its name, with each step."""
    assert supernova("setup", *QUIET, "--report", name).code == 0
    text = (folder / name).read_text()
    if name.endswith(".json"):
        assert {"python", "configuration", "master key"} <= {step["name"] for step in json.loads(text)}
    else:
        assert "| master key | done |" in text


def test_the_systemd_unit_runs_this_installation(
    supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit names the configuration and the data folder, and contains no secret."""
    monkeypatch.setattr(command, "_unit_path", lambda: folder / "units" / "supernova.service")
    assert supernova("setup", *QUIET, "--systemd").code == 0
    unit = (folder / "units" / "supernova.service").read_text()
    assert f'run --config "{folder / "config" / "supernova.yaml"}"' in unit
    assert f'Environment="SUPERNOVA_HOME={os.environ["SUPERNOVA_HOME"]}"' in unit
    assert "Type=notify" in unit
    assert "API_KEY" not in unit


def test_the_systemd_unit_may_write_the_configured_folders(
    supernova: Supernova, folder: Path, supernova_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made, because systemd starts no service with a writable folder that is missing."""
    monkeypatch.setattr(command, "_unit_path", lambda: folder / "supernova.service")
    monkeypatch.setenv("HOME", str(folder))
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text(
        "database: data/nova.db\nbackup: {to: ~/back ups}\n"
        "reports: {folder: reports}\nlogs: {file: logs/x.log}\n"
    )
    assert supernova("setup", *QUIET, "--systemd").code == 0
    unit = (folder / "supernova.service").read_text()
    written = [supernova_home, *(folder / name for name in ("config", "data", "back ups", "reports", "logs"))]
    assert "ReadWritePaths=" + " ".join(f'"{path}"' for path in written) in unit
    assert all(path.is_dir() for path in written)
