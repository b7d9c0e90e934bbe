"""The bundled bars, the advice arguments of README, and model answers that hold or do not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supernova_ai.advisor.bars import load_csv
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.rationale import compose

CSV = Path(__file__).parents[2] / "examples" / "bars.csv"
SAMPLE = load_csv(CSV, now=datetime(2026, 11, 22, tzinfo=UTC))

SEED: dict[str, Any] = {"symbol": "AAPL", "asset_class": "stock", "risk_score": 75, "sentiment_hint": 0.3}
"""The arguments of the first example in README; the action is buy."""


def own_text(found: Assessment) -> str:
    """Return the rationale that needs no model."""
    return compose(found, ()).text


def answer(for_it: list[str], against_it: list[str], risk: list[str]) -> str:
    """Return a model's answer in JSON."""
    return json.dumps({"for_it": for_it, "against_it": against_it, "risk": risk})


RISING = "{change_63.move}, and {sma_20.vs.sma_50}."
RISING_SHOWN = (
    "The price rose by 16.1 % over 63 days, and the 20-day average ($132.28) is 3.4 % above the 50-day "
    "average ($127.99)."
)
VOLUME = "The {obv.name} is below the {obv_mean_20.name}, which is a negative sign."
VOLUME_SHOWN = (
    "The on-balance volume is below the 20-day average of the on-balance volume, which is a negative sign."
)
RANGE = "{atr_14.is}."
RANGE_SHOWN = "An ordinary day moves the price by $1.92, which is 1.4 % of the close."

GOOD = answer([RISING], [VOLUME], [RANGE])
"""An answer of which every sentence holds."""

FALSE = "The {sma_20} is below the {sma_50}."
WRONG = answer([RISING, FALSE], [VOLUME], [RANGE])
"""An answer with one sentence that is false."""
