"""The ``advice`` section is validated like the rest of the YAML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from supernova_ai.config import AdviceRules, load

Write = Callable[[str, str], Path]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sell": (-0.05, -0.5)}, "each value of 'sell' must be below that of 'reduce'"),
    ({"buy": (0.1, 0.3)}, r"the first value of 'buy' must be the more cautious: swap \[0.1, 0.3\]"),
    ({"avoid": (3, 1)}, r"the first value of 'avoid' must be the more cautious: swap \[3.0, 1.0\]"),
    ({"rsi": {**AdviceRules().rsi, "fx": (70, 30)}}, r"in 'rsi' each first value must be below the second"),
    ({"rsi": {"fx": (30, 70)}}, "'rsi' must also contain stock, crypto, futures, option"),
    ({"volatile": {}}, "'volatile' must also contain stock"),
    ({"weights": {"trending": {}}}, "'weights' must also contain ranging, volatile"),
    (
        {"weights": {**AdviceRules().weights, "ranging": {"macd": 1}}},
        "'weights.ranging' must also contain ma_cross, rsi_reversion",
    ),
    (
        {"weights": {**AdviceRules().weights, "ranging": dict.fromkeys(AdviceRules().weights["ranging"], 0)}},
        "'weights.ranging' must give at least one strategy a weight above 0",
    ),
    ({"min_bars": 5}, "greater than or equal to 30"),
    ({"sentiment": 2}, "less than or equal to 1"),
    ({"mode": "slots"}, "'mode' no longer exists: a model never writes figures. Delete the line"),
]


@pytest.mark.parametrize(("rules", "message"), WRONG)
def test_contradictory_rules_are_refused(rules: dict[str, Any], message: str) -> None:
    """The message says how to correct them."""
    with pytest.raises(ValidationError, match=message):
        AdviceRules(**rules)


def test_one_value_of_a_table_can_be_changed_alone(write: Write) -> None:
    """Setting one asset class, or one strategy in one regime, keeps the defaults of the others."""
    write("supernova.yaml", "advice: {rsi: {stock: [25, 75]}, weights: {ranging: {macd: 1}}}")
    rules, default = load("supernova.yaml", environ={}).config.advice, AdviceRules()
    assert rules.rsi == {**default.rsi, "stock": (25, 75)}
    assert rules.weights == {**default.weights, "ranging": {**default.weights["ranging"], "macd": 1}}
