"""``supernova config``: edits of the files, their versions, and the way back."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import KEY, Supernova
from tests.processes import running

YAML = "# ours\nstreaming: false   # no\r\nrouting:\n  retries: 1 # few\n"


@pytest.fixture
def file(folder: Path, supernova: Supernova) -> Path:
    """A configuration of a store that has a master key."""
    file = folder / "config" / "supernova.yaml"
    file.parent.mkdir()
    file.write_bytes(YAML.encode())
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0
    return file


def numbers(supernova: Supernova) -> list[tuple[int, str]]:
    rows = supernova("config", "history", "--json").json
    return [(row["number"], row["cause"]) for row in rows]


def test_set_and_rollback(supernova: Supernova, file: Path) -> None:
    """A setting is changed and comes back, each as a version, and the file is as before byte for byte."""
    changed = supernova("config", "set", "routing.retries", "3")
    assert changed.code == 0
    assert "routing.retries: 1 → 3" in changed.out
    assert file.read_bytes() == YAML.replace("retries: 1", "retries: 3").encode()
    assert supernova("config", "rollback").code == 0
    assert file.read_bytes() == YAML.encode()
    assert numbers(supernova) == [(3, "rollback"), (2, "set"), (1, "edit")]


def test_a_setting_with_a_name_of_the_schema(supernova: Supernova, file: Path) -> None:
    """A task may be called like a section of the configuration."""
    file.write_text("routing: {tasks: {budgets: economy}}\n")
    changed = supernova("config", "set", "routing.tasks.budgets", "standard")
    assert "routing.tasks.budgets: economy → standard" in changed.out
    assert supernova("config", "diff", "1").out.count("routing.tasks.budgets") == 1


def test_the_mode_stays(supernova: Supernova, file: Path) -> None:
    """An edited file keeps its mode, and nothing but the lock is left beside it."""
    file.chmod(0o640)
    supernova("config", "set", "streaming", "true")
    assert file.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in file.parent.iterdir()} <= {file.name, f".{file.name}.lock"}


def test_edits_through_a_link(supernova: Supernova, file: Path) -> None:
    """If the file is a link, the file that it leads to is written, and the link stays."""
    real = file.rename(file.parent.parent / "real.yaml")
    file.symlink_to(real)
    supernova("config", "set", "streaming", "true")
    assert file.is_symlink()
    assert b"streaming: true   # no\r\n" in real.read_bytes()


@pytest.mark.parametrize(
    ("key", "value", "error", "code"),
    [
        ("routing.retries", "99", "must be less than or equal to 10", 3),
        ("routing.retrys", "3", "Did you mean 'retries'?", 3),
        ("streaming.x", "3", "streaming is a single value", 2),
        ("providers.openai.models.standard", "gpt-4o-minni", "no price is known", 3),
        ("database", "postgresql://ann:pw@db/nova", "holds a secret", 2),
        ("alerts.notify", "[slack://a/b/c]", "holds a secret", 2),
    ],
)
def test_a_wrong_edit_writes_nothing(
    supernova: Supernova, file: Path, key: str, value: str, error: str, code: int
) -> None:
    """What would not be valid is refused with its reason; the file and the versions stay as they are."""
    result = supernova("config", "set", key, value)
    assert result.code == code
    assert error in " ".join(result.err.replace("│", " ").split())
    assert ("nothing was written, because with this edit the configuration cannot" in result.err) == (
        code == 3
    )
    assert file.read_bytes() == YAML.encode()
    assert [cause for _, cause in numbers(supernova)] in ([], ["edit"])


def test_a_secret_from_standard_input(supernova: Supernova, file: Path) -> None:
    """A value with a password is read from standard input, and no output shows it."""
    result = supernova("config", "set", "redis", "-", stdin="redis://:hunter22@cache/0\n")
    assert result.code == 0
    assert "hunter22" not in result.out + result.err + supernova("config", "history", "--json").out
    assert "redis: redis://:hunter22@cache/0" in file.read_text()


def test_the_overlay_is_edited_if_it_sets_the_key(
    supernova: Supernova, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of the overlay, or of the environment's section, is changed there, else in the base file."""
    monkeypatch.setenv("SUPERNOVA_ENV", "staging")
    file.write_text(YAML + "environments:\n  staging: {health: {every: 30}}\n")
    overlay = file.parent / "environments" / "staging.yaml"
    overlay.parent.mkdir()
    overlay.write_text("streaming: true\n")
    assert str(Path("environments", "staging.yaml")) in supernova("config", "set", "streaming", "false").out
    assert overlay.read_text() == "streaming: false\n"
    supernova("config", "set", "health.every", "20")
    assert "staging: {health: {every: 20}}" in file.read_text()
    supernova("config", "set", "routing.retries", "3")
    assert "retries: 3 # few" in file.read_text()


@pytest.mark.parametrize(
    ("overlay", "key", "value", "edited"),
    [
        ("streaming: true\n", "streaming", "false", "streaming: false\n"),
        ("routing: {retries: 2}\n", "routing", "{retries: 3}", "routing: {retries: 3}\n"),
        ("budgets: {daily: {limit: 1}}\n", "budgets.daily.limit", "2", "budgets: {daily: {limit: 2}}\n"),
        ("budgets: {daily: null}\n", "budgets.daily.limit", "2", "budgets: {daily: {limit: 2}}\n"),
    ],
)
def test_the_overlay_is_edited_although_a_variable_overrides_it(
    supernova: Supernova,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    overlay: str,
    key: str,
    value: str,
    edited: str,
) -> None:
    """Which file is edited depends on the files alone: the other environments keep what they have."""
    for name, text in {"ENV": "staging", "CONFIG": str(file)}.items():
        monkeypatch.setenv(f"SUPERNOVA_{name}", text)
    monkeypatch.setenv("LLM_STREAMING", "false")
    monkeypatch.setenv("LLM_DAILY_COST_LIMIT", "9")
    own = file.parent / "environments" / "staging.yaml"
    own.parent.mkdir()
    own.write_text(overlay)
    result = supernova("config", "set", key, value)
    assert result.code == 0, result.err
    assert (own.read_text(), file.read_bytes()) == (edited, YAML.encode())


def test_a_setting_that_environments_share_is_told(
    supernova: Supernova, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set in staging, it changes in production too, and the command says how to avoid that."""
    monkeypatch.setenv("SUPERNOVA_ENV", "staging")
    told = "`supernova config set environments.staging.health.every`"
    assert told in supernova("config", "set", "health.every", "20").err
    assert "for all environments" not in supernova("config", "set", told[22:-1], "30").err


@pytest.mark.parametrize("variable", ["", "9"])
def test_a_default_budget_changes_in_a_file_without_budgets(
    supernova: Supernova, file: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The other default budgets stay, although a list in the file replaces all of them."""
    monkeypatch.setenv("LLM_MONTHLY_COST_LIMIT", variable)
    result = supernova("config", "set", "budgets.daily.limit", "75")
    assert (result.code, "budgets.daily.limit: 50 → 75" in result.out) == (0, True)
    monkeypatch.delenv("LLM_MONTHLY_COST_LIMIT")
    budgets = supernova("config", "show", "--json").json["config"]["budgets"]
    assert [(one["name"], float(one["limit"])) for one in budgets] == [("daily", 75), ("monthly", 1000)]


def test_a_variable_that_overrides_is_named(
    supernova: Supernova, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a variable overrides the setting, the command says so."""
    monkeypatch.setenv("LLM_STREAMING", "false")
    result = supernova("config", "set", "streaming", "true")
    assert "the variable LLM_STREAMING overrides the files" in result.err


def test_apply_checks_before_it_replaces(supernova: Supernova, file: Path) -> None:
    """A file with problems is refused with its own name; a valid one replaces the base file."""
    new = file.parent.parent / "new.yaml"
    new.write_text("streaming: 7\n")
    refused = supernova("config", "apply", str(new))
    assert (refused.code, file.read_bytes()) == (3, YAML.encode())
    assert f"{new}:1: streaming is 7" in refused.err
    new.write_text("\n")
    assert "is empty, so nothing was changed" in supernova("config", "apply", str(new)).err
    assert "is not a regular file" in supernova("config", "apply", "/dev/zero").err
    new.write_text("streaming: true\n")
    assert supernova("config", "apply", str(new)).code == 0
    assert file.read_text() == "streaming: true\n"


@pytest.mark.parametrize("broken", ["routing: [\n", "routing: {retries: many}\n", "\x00", "- 1\n"])
def test_rollback_of_a_broken_file(supernova: Supernova, file: Path, broken: str) -> None:
    """If the files have problems, rollback writes the version in force back, and keeps what was there."""
    supernova("config", "set", "streaming", "true")
    good = file.read_bytes()
    file.write_text(broken)
    assert supernova("config", "validate").code == 3
    assert supernova("config", "rollback").code == 0
    assert file.read_bytes() == good
    assert file.with_name("supernova.yaml.broken").read_text() == broken


def test_rollback_restores_prompts_and_overlay(
    supernova: Supernova, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts and the overlay come back too: changed, removed and added ones."""
    monkeypatch.setenv("SUPERNOVA_ENV", "trial")
    overlay, prompts = file.parent / "environments" / "trial.yaml", file.parent / "prompts"
    for folder in (overlay.parent, prompts):
        folder.mkdir()
    overlay.write_text("health: {every: 30}\n")
    mine = "---\nname: {}\nversion: 1\ntask: chat\n---\nBe brief.\n"
    (prompts / "mine.md").write_text(mine.format("mine"))
    assert supernova("keys", "add", "openai", stdin=KEY).code == 0  # of the environment's own database
    assert supernova("config", "set", "streaming", "true").code == 0
    (prompts / "mine.md").unlink()
    (prompts / "other.md").write_text(mine.format("other"))
    overlay.write_text("health: {every: 40}\n")
    assert supernova("config", "rollback", "2").code == 0
    assert [path.name for path in prompts.iterdir()] == ["mine.md"]
    assert overlay.read_text() == "health: {every: 30}\n"
    changed = supernova("config", "diff", "2", "3").out
    assert "prompts.other: (not set) → " in changed
    assert "health.every: 30.0 → 40.0" in changed


def test_diff_of_the_files_and_the_version_in_force(supernova: Supernova, file: Path) -> None:
    """Without arguments, diff shows what the files have that is not in force; with two, two versions."""
    assert supernova("config", "diff").code == 2
    supernova("config", "set", "streaming", "true")
    assert supernova("config", "diff").out == "no difference\n"
    file.write_bytes(YAML.encode())
    assert supernova("config", "diff").out == "streaming: true → false\n"
    assert supernova("config", "diff", "1", "2", "--json").json == [
        {"setting": "streaming", "1": False, "2": True}
    ]


def test_without_a_master_key_there_is_no_text(supernova: Supernova, folder: Path) -> None:
    """A store without a master key keeps the settings only; rollback says why it cannot write the files."""
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text(YAML)
    supernova("config", "set", "streaming", "true")
    result = supernova("config", "rollback")
    assert result.code == 3
    assert "version 1 has no text: the store had no master key then" in result.err


def test_without_a_file_there_is_nothing_to_edit(supernova: Supernova) -> None:
    """The built-in defaults cannot be edited; the error says how to make a file."""
    result = supernova("config", "set", "streaming", "true")
    assert result.code == 3
    assert "create config/supernova.yaml" in result.err


def test_edits_are_audited_and_alerted(supernova: Supernova, file: Path) -> None:
    """Each edit is in the audit with its changes, and is a notice among the alerts."""
    supernova("config", "set", "streaming", "true")
    supernova("config", "rollback")
    rows: list[dict[str, Any]] = supernova("audit", "list", "--json").json
    events = sorted(row["event"] for row in rows if row["event"].startswith("config."))
    assert events == ["config.applied", "config.applied", "config.rolled_back"]
    assert "Version 2 is in force (set" in supernova("alerts", "list").out


def replace_by(file: Path, text: str) -> None:
    """Write the file as an editor does: nobody sees a part of it."""
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").replace(file)


@pytest.mark.proof
def test_watch_checks_each_edit(script: str, file: Path) -> None:
    """Watch prints what each edit changes, or what is wrong with it; Ctrl-C ends it with exit code 0."""
    command = [script, "config", "watch"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watching:
        assert watching.stdout
        assert "Ctrl-C ends it" in watching.stdout.readline()
        replace_by(file, "streaming: 7\n")
        assert watching.stdout.readline().startswith("refused: the configuration cannot be used")
        assert "streaming is 7" in watching.stdout.readline()
        replace_by(file, "streaming: true\n")
        assert watching.stdout.readline().startswith("valid: version")
        assert {watching.stdout.readline(), watching.stdout.readline()} == {
            "streaming: false → true\n",
            "routing.retries: 1 → 2\n",
        }
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
