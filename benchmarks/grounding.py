"""Measure how many wrong sentences are shown in a rationale, and how many right ones are not.

Bars are random, and their facts are those of advice; benchmarks/sentences.py writes sentences about them and
knows which are true, and benchmarks/shared_claims.py writes wrong ones, in English and German. If
SUPERNOVA_CASES_DIR names a folder with grounding/texts.jsonl and bars, its labelled texts are converted to
sentences with slots and counted too. docs/grounding.md has the result.

Run: uv run python benchmarks/grounding.py [-v lists what is misjudged]
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.calibration import walk
from benchmarks.labelled import labelled_sentences
from benchmarks.sentences import Said, sentences
from benchmarks.shared_claims import shared_claims
from supernova_ai.advisor.bars import read_bars
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import fact_table
from supernova_ai.advisor.grounding.check import Context, Part, check_sentence
from supernova_ai.advisor.grounding.sentence import Unusable
from supernova_ai.config.advice import LanguageCode

TABLES = 500
MOST_WRONG, MOST_REFUSED = 0.005, 0.1

Counts = Counter[tuple[str, bool]]


def drawn(tables: int, seed: int = 1) -> Iterator[tuple[Assessment, Said]]:
    """Yield sentences about the facts of random bars."""
    chance = random.Random(seed)
    for number in range(tables):
        drift, deviation = chance.uniform(-0.003, 0.003), chance.choice([0.005, 0.015, 0.04])
        bars = walk(f"{seed}-{number}", 250, drift=drift, deviation=deviation)
        history, risk = read_bars(bars, now=bars[-1].time), chance.randrange(101)
        found = assess(history, symbol="AAPL", risk_score=risk)
        for said in sentences(chance, fact_table(found)):
            yield found, said
        for code in get_args(LanguageCode):
            found = assess(history, symbol="AAPL", risk_score=risk, language=code)
            for said in shared_claims(random.Random(f"{seed}-{number}"), fact_table(found)):
                yield found, said


def is_shown(found: Assessment, text: str) -> bool:
    """Whether the sentence would be shown, in the section that has no side."""
    sides: Mapping[Part, int] = {"for": 1, "against": -1, "risk": 0}
    context = Context(fact_table(found), found.asset_class, sides, language=found.language)
    try:
        check_sentence(text, "risk", context)
    except Unusable:
        return False
    return True


def measure(given: Iterator[tuple[Assessment, Said]]) -> tuple[Counts, Counts, list[str]]:
    """Return how many sentences each kind and truth has, how many are misjudged, and the misjudged ones."""
    seen: Counts = Counter()
    missed: Counts = Counter()
    examples: list[str] = []
    for found, said in given:
        seen[said.kind, said.true] += 1
        if is_shown(found, said.text) is not said.true:
            missed[said.kind, said.true] += 1
            examples.append(f"{said.kind}, {'right' if said.true else 'WRONG'}: {said.text}")
    return seen, missed, examples


def rates(seen: Counts, missed: Counts) -> tuple[float, float]:
    """Return the share of wrong sentences that are shown, and of right ones that are not."""

    def share(true: bool) -> float:
        total = sum(number for kind, number in seen.items() if kind[1] == true)
        return sum(missed[kind] for kind in seen if kind[1] == true) / total if total else 0.0

    return share(False), share(True)


def main() -> None:
    """Print a line for each kind; exit with 1 if a target is missed."""
    groups = {"written here": drawn(TABLES)}
    if folder := os.environ.get("SUPERNOVA_CASES_DIR"):
        groups["labelled texts"] = labelled_sentences(Path(folder))
    failed = False
    for group, given in groups.items():
        seen, missed, examples = measure(given)
        for example in sorted(set(examples)) if "-v" in sys.argv else ():
            print(example)
        print(f"{group:<28} {'true':>5} {'sentences':>10} {'misjudged':>10}")
        for (kind, true), number in sorted(seen.items()):
            print(
                f"{kind:<28} {'yes' if true else 'no':>5} {number:>10} {missed[kind, true] / number:>10.2%}"
            )
        shown, refused = rates(seen, missed)
        print(f"\nwrong sentences shown: {shown:.2%} (target at most {MOST_WRONG:.1%})")
        print(f"right sentences refused: {refused:.2%} (target at most {MOST_REFUSED:.0%})\n")
        # What a mechanical conversion makes of free prose is not what a model writes with slots.
        failed = failed or shown > MOST_WRONG or (refused > MOST_REFUSED and group == "written here")
    sys.exit(failed)


if __name__ == "__main__":
    main()
