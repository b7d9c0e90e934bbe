"""``supernova doctor``: readable, exact as JSON, with an exit code by severity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supernova_ai.operations import doctor
from supernova_ai.operations.checks.subject import Subject
from supernova_ai.testing import StubProvider
from tests.cli.conftest import KEY, Supernova

Configure = Callable[..., Path]


def test_a_working_installation_has_no_error(supernova: Supernova, configure: Configure) -> None:
    """With a provider that answers, the command exits with 0 and names every check."""
    with StubProvider("yes") as stub:
        configure(stub.url)
        supernova("keys", "add", "openai", stdin=KEY)
        result = supernova("doctor", "--json")
    assert result.code == 0, result.out
    assert {finding["check"] for finding in result.json} == set(doctor.CHECKS)
    (provider,) = [finding for finding in result.json if finding["check"] == "providers"]
    assert provider["severity"] == "ok"
    assert KEY not in result.out


def test_a_fresh_installation_has_no_error(supernova: Supernova, folder: Path) -> None:
    """Without configuration, keys or jobs there are notes and warnings only."""
    result = supernova("doctor", "--offline")
    assert result.code == 0, result.out
    assert "0 errors" in result.out


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("note", 1)])
def test_the_exit_code_is_by_severity(supernova: Supernova, fail_on: str, code: int) -> None:
    """--fail-on says from which severity up the command fails."""
    assert supernova("doctor", "--offline", "--fail-on", fail_on).code == code


def test_fix_mends_modes(supernova: Supernova, folder: Path) -> None:
    """A file that others can read is found, mended with --fix, and gone from the next report."""
    (folder / ".env").write_text("LLM_STREAMING=false\n")
    (folder / ".env").chmod(0o644)
    assert ".env has mode 0644" in supernova("doctor", "--offline").out
    assert "fixed" in supernova("doctor", "--offline", "--fix").out
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert ".env" not in supernova("doctor", "--offline").out.replace(".env.", "")


def test_a_check_that_breaks_is_a_finding(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other checks go on, and the key in the error is hidden."""

    def fail(_: Subject) -> None:
        raise RuntimeError(f"refused {KEY}")

    monkeypatch.setitem(doctor.CHECKS, "python", fail)
    result = supernova("doctor", "--offline", "--json")
    assert result.code == 1
    assert result.json[0]["severity"] == "error"
    assert KEY not in result.out
    assert len(result.json) >= len(doctor.CHECKS) - 1


def test_a_database_that_cannot_be_opened_is_a_finding(
    supernova: Supernova, folder: Path, configure: Configure
) -> None:
    """What needs no database is checked all the same."""
    (folder / "no").write_text("not a database, but long enough to look like one" * 50)
    configure("http://127.0.0.1:9", database=str(folder / "no"))
    result = supernova("doctor", "--offline", "--json")
    assert result.code == 1
    (database,) = [finding for finding in result.json if finding["check"] == "database"]
    assert "not a database" in database["text"]


def test_a_wrong_configuration_is_told_first(supernova: Supernova, folder: Path) -> None:
    """The problems are listed as by every command, with the exit code of a wrong configuration."""
    (folder / "config").mkdir()
    (folder / "config" / "supernova.yaml").write_text("streaming: 7\n")
    result = supernova("doctor")
    assert result.code == 3
    assert "streaming" in result.err
