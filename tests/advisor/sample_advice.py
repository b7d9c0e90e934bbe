"""The bundled bars, the advice arguments of README, and model texts that pass or fail the checks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supernova_ai.advisor.bars import load_csv

CSV = Path(__file__).parents[2] / "examples" / "bars.csv"
SAMPLE = load_csv(CSV, now=datetime(2026, 11, 22, tzinfo=UTC))

SEED: dict[str, Any] = {"symbol": "AAPL", "asset_class": "stock", "risk_score": 75, "sentiment_hint": 0.3}
"""The arguments of the first example in docs/advice.md; the action is buy."""

GOOD = """Sure, here is the explanation.

## Summary
Buy AAPL. The case is fairly clear, with a confidence of 0.6955.

## Why
The price rose by 16.1 % over 63 bars, so momentum is on its side. The 20-bar average, $132.28, is above the
50-bar average of $127.99.

## What speaks against it
The volume does not confirm the rise, so buyers may be tiring.

## Risk
An ordinary bar moves by $1.92, which is 1.41 % of the close. For a bold client a full position is bearable.
"""

WRONG = GOOD.replace("16.1 %", "61.1 %")
"""A text with a wrong figure: its digits are swapped."""

SLOTTED = """## Summary
Buy {{symbol}}, with a confidence of {{confidence}}.

## Why
The price rose by {{change_63}} over 63 bars, and the close is {{close}}.

## What speaks against it
The volume does not confirm the rise, so buyers may be tiring.

## Risk
An ordinary bar moves by {{atr_14}}, which is {{atr_percent}} of the close.
"""

SLOTTED_SHOWN = (
    SLOTTED.replace("{{symbol}}", "AAPL")
    .replace("{{confidence}}", "0.696")
    .replace("{{change_63}}", "16.1 %")
    .replace("{{close}}", "$136.36")
    .replace("{{atr_14}}", "$1.9192")
    .replace("{{atr_percent}}", "1.41 %")
)
