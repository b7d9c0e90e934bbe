"""The results of the benchmark command: the table, the JSON, and their place in a page."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from benchmarks.__main__ import CASES, PAGE
from benchmarks.results import BEGIN, END, HEADS, Ratio, as_json, compare, markdown, write_between_marks
from benchmarks.sides import in_turn

TAKEN = {"SuperNova": [6.0, 9.0, 8.0], "the Router": [4.0, 3.0, 4.0], "aiohttp": [0.02, 0.03, 0.04]}


def test_the_table_has_the_median_and_range_of_each_ratio() -> None:
    """Each peer is a row: the ratio in the same round, as median and range, with its bound."""
    router, aiohttp = compare("calls", "time of a call", TAKEN, {"the Router": 3.5})
    assert router.cells() == ("calls", "time of a call", "the Router", "2.00", "1.50 to 3.00", "3.50")
    assert aiohttp.cells() == ("calls", "time of a call", "aiohttp", "300", "200 to 300", "")
    lines = markdown([router, aiohttp], {"cores": "2", "Python": "3.13.1"}).splitlines()
    assert [line.count("|") for line in lines[:4]] == [len(HEADS) + 1] * 4
    assert lines[-1] == "Measured on: cores 2, Python 3.13.1."


def test_a_median_above_its_bound_fails() -> None:
    """One slow round does not fail a ratio; a median above the bound does."""
    assert not Ratio("calls", "time of a call", "the Router", [2.0, 9.0, 2.5], 3.0).failed
    assert Ratio("calls", "time of a call", "the Router", [2.0, 9.0, 3.5], 3.0).failed


def test_the_json_has_each_round() -> None:
    """A program can read the machine, and each ratio with its rounds."""
    read = json.loads(as_json([Ratio("memory", "memory", "the Router", [1.5, 1.25])], {"cores": "2"}))
    assert read["machine"] == {"cores": "2"}
    (ratio,) = read["ratios"]
    assert ratio["rounds"] == [1.5, 1.25]
    assert (ratio["median"], ratio["range"], ratio["at_most"]) == (1.375, [1.25, 1.5], None)


def test_the_results_replace_those_in_the_page(tmp_path: Path) -> None:
    """Only what stands between the marks of the page changes, however often it is written."""
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}{END}after\n", encoding="utf-8")
    for table in ("old\n", "new\n"):
        write_between_marks(page, table)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n\n{END}after\n"


def test_the_sides_take_turns() -> None:
    """Each round runs every side once and begins with another; the round before does not count."""
    order = list[str]()

    def run(name: str) -> int:
        order.append(name)
        return len(order)

    taken = in_turn(2, {name: partial(run, name) for name in "ab"})
    assert "".join(order) == "ab" + "ab" + "ba"
    assert taken == {"a": [3, 6], "b": [4, 5]}


def test_the_page_names_each_case() -> None:
    """The page has a row for each case, and the marks between which the results stand."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in CASES if f"| `{name}` |" not in page] == []
    assert page.count(BEGIN) == page.count(END) == 1
