"""Measure SuperNova against its peers: every figure is a ratio of one run.

Run: uv run python -m benchmarks [--quick] [--only NAME …] [--json FILE] [--page]

README.md in this folder says what is measured and how, and has the last results.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import advice, archive, calls, dashboards, ledger_pairs, million, outage, overspend, startup
from benchmarks.results import Ratio, as_json, machine, markdown, write_between_marks
from benchmarks.setting import server_version

CASES: dict[str, Callable[[calls.Peers, bool], Iterator[Ratio]]] = {
    "start": startup.measure,
    "first-call": calls.first_call,
    "calls": calls.at_once,
    "kinds": calls.kinds,
    "streams": calls.streams,
    "memory": calls.memory,
    "ledger": ledger_pairs.measure,
    "growth": million.measure,
    "archive": archive.measure,
    "advice": advice.measure,
    "outage": outage.measure,
    "overspend": overspend.measure,
    "dashboards": dashboards.measure,
}
SLOW = ("first-call", "archive", "outage", "overspend", "dashboards")
"""Cases that ``--quick`` leaves out."""

PAGE = Path(__file__).with_name("README.md")


def main() -> int:
    """Print the table; return 1 if a median is above its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against peers.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, calls and cases: about a minute")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results, with each round")
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE.name}")
    options = parser.parse_args()
    names = options.only or [name for name in CASES if not (options.quick and name in SLOW)]

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process would compile LiteLLM again
    ratios = list[Ratio]()
    with calls.Peers() as peers:
        for name in names:
            began = time.perf_counter()
            ratios += CASES[name](peers, options.quick)
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    about = machine(server_version())
    print(table := markdown(ratios, about))
    if options.json:
        options.json.write_text(as_json(ratios, about), encoding="utf-8")
    if options.page:
        write_between_marks(PAGE, table)
    failed = [ratio for ratio in ratios if ratio.failed]
    for ratio in failed:
        print("above its bound:", *ratio.cells(), file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
