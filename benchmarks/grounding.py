"""Measure how many false statements the grounding check catches, and how many true ones it refuses.

Bars are random, and their facts are those of advice. The texts about them are known to be true or false:
benchmarks/sayings.py makes them and shares no code with the check. A false text has one false sentence beside
a true one. docs/grounding.md has the result.

Run: uv run python benchmarks/grounding.py [-v lists what is misjudged]
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sayings import draw, texts
from supernova_ai.advisor.grounding import check
from supernova_ai.advisor.rationale import grounding_context
from supernova_ai.config.advice import AdviceRules

TABLES = 500
CAUGHT, REFUSED = 0.99, 0.01

Counts = Counter[tuple[str, bool]]


def measure(tables: int, seed: int = 1) -> tuple[Counts, Counts, list[str]]:
    """Return the number of texts per kind and truth, the number misjudged, and the misjudged texts.

    A false text counts as caught only if the violation is in its false sentence.
    """
    chance = random.Random(seed)
    seen: Counts = Counter()
    missed: Counts = Counter()
    examples: list[str] = []
    for _ in range(tables):
        case = draw(chance)
        for kind, text, false in texts(chance, case):
            report = check(text, case.found.facts, **grounding_context(case.found, AdviceRules()))
            start = text.index(false)
            found = [
                claim for claim in report.violations if start <= claim.start < start + len(false or text)
            ]
            seen[kind, not false] += 1
            if bool(found) != bool(false):
                missed[kind, not false] += 1
                examples.append(f"{kind}: {text} {report.describe()}")
    return seen, missed, examples


def rates(seen: Counts, missed: Counts) -> tuple[float, float]:
    """Return the share of false texts that were caught, and of true texts that were refused."""

    def share(true: bool) -> float:
        return sum(missed[kind] for kind in seen if kind[1] == true) / sum(
            number for kind, number in seen.items() if kind[1] == true
        )

    return 1 - share(False), share(True)


def main() -> None:
    """Print a line for each kind; exit with 1 if a target is missed."""
    started = time.perf_counter()
    seen, missed, examples = measure(TABLES)
    for example in examples if "-v" in sys.argv else ():
        print(example)
    print(f"{'kind of text':<20} {'true':>6} {'texts':>6} {'caught':>9} {'refused':>9}")
    for (kind, true), number in seen.items():
        wrong = missed[kind, true] / number
        columns = ("yes", "", f"{wrong:.2%}") if true else ("no", f"{1 - wrong:.2%}", "")
        print(f"{kind:<20} {columns[0]:>6} {number:>6} {columns[1]:>9} {columns[2]:>9}".rstrip())
    caught, refused = rates(seen, missed)
    print(f"\n{TABLES} fact tables, {seen.total()} texts in {time.perf_counter() - started:.1f} s")
    print(f"wrong texts caught: {caught:.2%} (target at least {CAUGHT:.0%})")
    print(f"right texts refused: {refused:.2%} (target at most {REFUSED:.0%})")
    sys.exit(caught < CAUGHT or refused > REFUSED)


if __name__ == "__main__":
    main()
