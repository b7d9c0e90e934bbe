"""``supernova advise --bars FOLDER``: a ranked table of all files, with their errors and notes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.advisor.sample_advice import CSV
from tests.cli.conftest import Supernova


@pytest.fixture
def bars(folder: Path) -> Path:
    """A folder with two good files, a wrong one, and a file that is none of bars."""
    made = folder / "bars"
    made.mkdir()
    for name in ("ONE", "TWO"):
        shutil.copy(CSV, made / f"{name}.csv")
    (made / "WRONG.csv").write_text("time,open\n2026-11-20,1\n2026-11-21,1\n")
    (made / "notes.txt").write_text("No bars.")
    return made


def test_a_folder_gives_a_ranked_table(bars: Path, supernova: Supernova) -> None:
    """Each CSV file has a row; errors, weights and correlations are told below, in 80 columns."""
    result = supernova("advise", "--bars", "bars", "--no-llm", "--weight", "ONE=0.5", "--weight", "TWO=.1")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines if line.startswith(("ONE", "TWO", "WRONG"))]
    assert [row[:3] for row in rows] == [
        ["ONE", "buy", "2026-11-20"],
        ["TWO", "buy", "2026-11-20"],
        ["WRONG", "error", "-"],
    ]
    text = " ".join(result.out.split())
    for part in (
        "WRONG: bars/WRONG.csv: bar 0 has no",
        "ONE is 50 % of the portfolio.",
        "ONE and TWO move alike: the correlation of their changes is 1.00 over 249 changes between common",
        "3 symbols · 2 records · $0.00",
    ):
        assert part in text


def test_json_has_every_row(bars: Path, supernova: Supernova) -> None:
    """With --json each row has its advice or its error, as for a single symbol."""
    found = supernova("advise", "--bars", str(bars), "--no-llm", "--json", "--parallel", "1").json
    assert [(row["symbol"], row.get("action")) for row in found["rows"]] == [
        ("ONE", "buy"),
        ("TWO", "buy"),
        ("WRONG", None),
    ]
    assert found["rows"][0]["details"]["symbol"] == "ONE"
    assert "bar 0" in found["rows"][2]["error"]
    assert (found["cost"], found["correlations"][0]["value"]) == ("0", 1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_the_progress(
    bars: Path, supernova: Supernova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a bar counts the symbols on standard error; standard output has the table alone."""
    terminal, side = os.openpty()
    with open(side, "w") as stderr:  # noqa: PTH123 - a number, not a path
        monkeypatch.setattr(sys, "stderr", stderr)
        result = supernova("advise", "--bars", str(bars), "--no-llm")
        print("the end", file=stderr, flush=True)
        written = ""
        while "the end" not in written:
            written += os.read(terminal, 1024).decode(errors="replace")
    os.close(terminal)
    assert "Advising" in written
    assert "3/3" in written
    assert "Advising" not in result.out


def test_no_advice_at_all_exits_with_2(bars: Path, supernova: Supernova) -> None:
    """If every file is wrong, the table is printed and the command fails."""
    for name in ("ONE", "TWO"):
        (bars / f"{name}.csv").unlink()
    result = supernova("advise", "--bars", str(bars), "--no-llm")
    assert result.code == 2
    assert "WRONG" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --bars"),
        (("--bars", "bars", "--symbol", "ONE"), "leave --symbol out"),
        (("--bars", str(CSV)), "give --symbol"),
        (("--bars", "bars", "--weight", "ONE"), "'ONE' is no weight: write a symbol and its share"),
        (("--bars", "bars", "--weight", "SIX=0.1"), "positions has 'SIX'"),
        (("--bars", "bars", "--quantity", "5"), "--quantity, --cost-basis and --opened are of one symbol"),
        (("--bars", "."), "no file that ends with .csv"),
    ],
)
def test_wrong_arguments_exit_with_2(
    arguments: tuple[str, ...], message: str, bars: Path, supernova: Supernova
) -> None:
    """A wrong argument exits with 2, and the message names it."""
    result = supernova("advise", *arguments, "--no-llm")
    assert result.code == 2
    assert message in " ".join(result.err.replace("│", " ").split())
