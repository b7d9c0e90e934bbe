"""``supernova keys``: keys are read from a prompt, file or stdin, and never printed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer

from supernova_ai.cli import keys
from supernova_ai.keys import master_sources
from tests.cli.conftest import KEY, Supernova
from tests.processes import running


def test_add_from_standard_input_and_list(supernova: Supernova) -> None:
    """A key from standard input is stored in its slot, and only its fingerprint is shown."""
    added = supernova("keys", "add", "openai", stdin=f"{KEY}\n")
    assert (added.code, added.err) == (0, "")
    (row,) = supernova("keys", "list", "--json").json
    assert (row["provider"], row["slot"], row["version"], row["state"]) == ("openai", "primary", 1, "active")
    assert row["fingerprint"] in added.out
    listed = supernova("keys", "list")
    assert row["fingerprint"] in listed.out
    assert KEY not in added.out + listed.out + str(row)


def test_add_from_file_into_backup(supernova: Supernova, folder: Path) -> None:
    """A key in a file is stored in the given slot."""
    (folder / "key.txt").write_text(f"{KEY}\n")
    assert supernova("keys", "add", "openai", "--slot", "backup", "--file", "key.txt").code == 0
    assert supernova("keys", "list", "--json").json[0]["slot"] == "backup"


BEDROCK = "providers: {aws: {type: bedrock, region: eu-west-1, models: {standard: m}}}"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"


def test_add_a_key_of_several_fields(supernova: Supernova, folder: Path) -> None:
    """A JSON object from a file is checked and stored; one without a field is refused, and not repeated."""
    (folder / "own.yaml").write_text(BEDROCK)
    add = ("keys", "add", "aws", "--config", "own.yaml", "--file", "aws.json")
    written = {"aws_access_key_id": "AKIAEXAMPLE123456789", "aws_secret_access_key": SECRET}
    (folder / "aws.json").write_text(json.dumps(written))
    added = supernova(*add)
    assert (added.code, added.err) == (0, "")
    (folder / "aws.json").write_text(json.dumps({"aws_secret_access_key": SECRET}))
    refused = supernova(*add)
    assert refused.code != 0
    assert "must be an object with the fields aws_access_key_id and aws_secret_access_key" in refused.err
    assert SECRET not in added.out + refused.err


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_each_field_is_prompted_for(
    supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal each field has a hidden prompt; a service account is added from its file."""
    (folder / "own.yaml").write_text(BEDROCK)
    asked: list[str] = []
    answers = iter(["AKIAEXAMPLE123456789", SECRET, ""])

    def prompt(text: str, **given: Any) -> str:
        assert given["hide_input"]
        asked.append(text)
        return next(answers)

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr("tests.cli.conftest.io.TextIOWrapper", Terminal)
    assert supernova("keys", "add", "aws", "--config", "own.yaml").code == 0
    assert asked == [
        "aws_access_key_id of aws",
        "aws_secret_access_key of aws",
        "aws_session_token of aws (empty for none)",
    ]
    (folder / "own.yaml").write_text(
        "providers: {vertex_ai: {region: global, project: p, models: {standard: m}}}"
    )
    refused = supernova("keys", "add", "vertex_ai", "--config", "own.yaml")
    assert refused.code == 2
    assert "--file" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "openai", KEY],
        ["add", "openai", "gsk_0123456789abcdef"],
        ["add", KEY],
        ["add", "openai", "--file", KEY],
        ["add", "openai", f"--file={KEY}"],
        ["remove", KEY],
        ["remove", KEY, "--yes"],
    ],
    ids=" ".join,
)
def test_a_key_is_never_an_argument(arguments: list[str], supernova: Supernova) -> None:
    """A key on the command line exits with 2, is neither stored nor repeated, and must be replaced."""
    result = supernova("keys", *arguments)
    assert (result.code, result.out) == (2, "")
    said = " ".join(result.err.replace("│", "").split())
    assert "a key is never an argument: it is in your shell's history now, so replace it" in said
    assert "0123456789abcdef" not in said
    assert supernova("keys", "list", "--json").json == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("arguments", [["add", "openai"], ["remove", "openai"]], ids=" ".join)
def test_interrupt_at_a_prompt_exits_with_130(arguments: list[str], script: str) -> None:
    """Ctrl-C at a prompt exits with 130."""
    subprocess.run([script, "keys", "add", "openai"], input=KEY.encode(), capture_output=True, check=True)
    terminal, side = os.openpty()
    with running(
        [script, "keys", *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
    ) as command:
        os.close(side)
        seen = b""
        while not seen.endswith(b": "):
            seen += os.read(terminal, 1024)
        while command.returncode is None:  # one that comes just before it reads is not noticed
            command.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                command.wait(2)
    os.close(terminal)
    assert command.returncode == 130
    assert b"Aborted" not in seen


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_prompt_hides_the_key(script: str, supernova: Supernova) -> None:
    """A terminal asks for the key and does not show it."""
    terminal, side = os.openpty()
    seen = b""
    with running(
        [script, "keys", "add", "openai"], stdin=side, stdout=side, stderr=side, start_new_session=True
    ) as command:
        os.close(side)
        while b"Key of openai: " not in seen:  # the last space comes once nothing is echoed any more
            seen += os.read(terminal, 1024)
        os.write(terminal, KEY.encode() + b"\n")
        while b"fingerprint" not in seen:
            seen += os.read(terminal, 1024)
    os.close(terminal)
    assert command.returncode == 0
    assert b"added openai primary version 1" in seen
    assert KEY.encode() not in seen


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "said"),
    [
        (["openai"], "hf_0123456789abcdef", 4, "looks like a key of huggingface"),
        (["openai"], " \n", 2, "the key is empty"),
        (["openai"], b"sk-\xff\xfe", 2, "cannot be read as text"),
        (["openai", "--file", "absent"], "", 2, "No such file"),
        (["openai", "--slot", "third"], KEY, 2, "'primary', 'backup'"),
        (["opnai"], KEY, 2, "'opnai' is not configured; use one of: openai, anthropic"),
    ],
    ids=["other-provider", "empty", "not-text", "no-file", "slot", "provider"],
)
def test_add_refuses(
    arguments: list[str], stdin: str | bytes, code: int, said: str, supernova: Supernova
) -> None:
    """An invalid key, provider or slot is refused with a reason; nothing is stored or repeated."""
    result = supernova("keys", "add", *arguments, stdin=stdin)
    assert (result.code, result.out) == (code, "")
    assert said in " ".join(result.err.replace("│", "").split())
    assert "0123456789abcdef" not in result.err
    assert supernova("keys", "list", "--json").json == []


def test_a_key_for_a_custom_endpoint_may_have_any_format(supernova: Supernova, folder: Path) -> None:
    """A provider with its own ``api_base`` takes keys of any format."""
    (folder / "nova.yaml").write_text("providers: {openai: {api_base: 'http://localhost:8000/v1'}}\n")
    (folder / ".env").write_text("OPENAI_API_KEY_BACKUP=local-fedcba9876543210\n")
    assert supernova("keys", "add", "openai", stdin="local-0123456789abcdef").code == 4
    for command in (["add", "openai"], ["import-env"]):
        added = supernova("keys", *command, "--config", "nova.yaml", stdin="local-0123456789abcdef")
        assert (added.code, added.err) == (0, "")
    assert len(supernova("keys", "list", "--json").json) == 2


def test_add_says_when_a_key_is_not_used(supernova: Supernova) -> None:
    """A key that the configuration does not use is stored with a warning."""
    added = supernova("keys", "add", "ollama", stdin=KEY)
    assert added.code == 0
    assert "It is not used: 'providers.ollama.keys' does not name 'primary'" in added.err


def test_add_a_notification_url(supernova: Supernova, folder: Path) -> None:
    """The URL of a vault:NAME in alerts.notify is added like a key, and must be an Apprise URL."""
    (folder / "nova.yaml").write_text("alerts: {notify: ['vault:ops-slack']}\n")
    add = ("keys", "add", "ops-slack", "--config", "nova.yaml")
    refused = supernova(*add, stdin="xoxb-0123456789abcdef")
    assert refused.code == 2
    assert "vault:ops-slack must be an Apprise URL" in refused.err
    assert "0123456789abcdef" not in refused.err
    added = supernova(*add, stdin="slack://0123456789abcdef")
    assert (added.code, added.err) == (0, "")
    unused = supernova(*add, "--slot", "backup", stdin="slack://0123456789abcdef")
    assert "It is not used: vault:ops-slack is the key in the slot 'primary'." in unused.err


def test_add_the_secret_of_single_sign_on(supernova: Supernova, folder: Path) -> None:
    """The secret of a vault:NAME in dashboard.oidc is added like a key."""
    add = ("keys", "add", "login", "--config", "nova.yaml")
    (folder / "nova.yaml").write_text("dashboard: {oidc: {client_secret: null}}\n")
    assert "'login' is not configured" in supernova(*add, stdin="0123456789abcdef").err
    (folder / "nova.yaml").write_text("dashboard: {oidc: {client_secret: 'vault:login'}}\n")
    added = supernova(*add, stdin="0123456789abcdef")
    assert (added.code, added.err) == (0, "")


def test_a_missing_master_key_is_reported_before_the_key_is_read(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong master key ends the command before the key is read."""
    monkeypatch.setenv(master_sources.VARIABLE, "short")
    monkeypatch.setattr(keys, "_ask", lambda *_: pytest.fail("the key was asked for"))
    result = supernova("keys", "add", "openai", stdin=KEY)
    assert (result.code, result.out) == (4, "")
    assert f"{master_sources.VARIABLE} must be" in result.err


def test_wrong_master_is_refused(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master key of another store exits with 4, and adds nothing."""
    supernova("keys", "add", "openai", stdin=KEY)
    monkeypatch.setenv(master_sources.VARIABLE, "aa" * 32)
    result = supernova("keys", "add", "openai", "--slot", "backup", stdin=KEY)
    assert result.code == 4
    assert "is not the one the store was sealed with" in result.err
    assert len(supernova("keys", "list", "--json").json) == 1


def test_remove_asks_first(supernova: Supernova) -> None:
    """A key is removed after a yes or with --yes, but not after a no."""
    supernova("keys", "add", "openai", stdin=KEY)
    for answer in ("n\n", ""):
        assert supernova("keys", "remove", "openai", stdin=answer).code == 1
        assert supernova("keys", "list", "--json").json[0]["state"] == "active"
    assert supernova("keys", "remove", "openai", stdin="y\n").code == 0
    assert supernova("keys", "list", "--json").json[0]["state"] == "revoked"
    again = supernova("keys", "remove", "openai", "--yes")
    assert again.code == 4
    assert "the vault has no primary key of openai: there is nothing to remove" in again.err


def test_list_without_keys_says_what_to_do(supernova: Supernova) -> None:
    """Without keys, the list names the commands that add one."""
    assert "supernova keys add <provider>" in supernova("keys", "list").out


def test_import_env(supernova: Supernova, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the environment and .env are imported once, for configured providers of any name."""
    (folder / "nova.yaml").write_text(
        "providers: {groq: {models: {standard: m}, price: free}}\nrouting: {priority: [openai, groq]}\n"
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (folder / ".env").write_text("GROQ_API_KEY_BACKUP=gsk_0123456789abcdef\n")
    first = supernova("keys", "import-env", "--config", "nova.yaml")
    assert first.code == 0
    assert "imported openai primary" in first.out
    assert "imported groq backup" in first.out
    assert "delete the variables from .env or your shell" in first.out
    assert "0123456789abcdef" not in first.out
    assert "nothing to import" in supernova("keys", "import-env", "--config", "nova.yaml").out
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}-older")
    assert "OPENAI_API_KEY was not imported: the slot has another key" in supernova("keys", "import-env").err
