"""Advice on several symbols is ranked, shares one cost limit, and outlives the error of one symbol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration import walk
from supernova_ai import (
    InvalidRequest,
    StoreError,
    Supernova,
    SymbolAdvice,
    UnknownOption,
    aadvise,
    aadvise_many,
    advise_many,
)
from supernova_ai.advisor import records
from supernova_ai.advisor.advise_many import AdviceManyOptions, _SharedLimit
from supernova_ai.advisor.bars import Bar, load_csv
from supernova_ai.advisor.language import language
from supernova_ai.advisor.portfolio import Correlation, portfolio_notes
from supernova_ai.config import Config
from supernova_ai.money import to_nano, to_usd
from supernova_ai.testing import Failure, StubProvider
from tests import clients
from tests.advisor.sample_advice import CSV, GOOD, SAMPLE

Open = Callable[..., Supernova]
Stub = Callable[..., StubProvider]


@pytest.fixture
def offline(path: Path) -> Iterator[Supernova]:
    """A client whose LLM calls are switched off."""
    config = Config.model_validate({"database": str(path), "enabled": False})
    with closing(Supernova(config, master=clients.MASTER)) as nova:
        yield nova


def series(seed: object, **arguments: Any) -> list[Bar]:
    return walk(seed, 120, **arguments)


async def test_symbols_are_ranked_by_confidence(offline: Supernova) -> None:
    """Each row has the advice that ``advise`` gives on that symbol; each has its record."""
    bars: dict[str, Any] = {"A": series(1), "B": series(2, drift=0.004), "C": CSV, "D": SAMPLE}
    ranked = await aadvise_many(bars, client=offline, risk_score=75)
    confidences = [row.advice.confidence for row in ranked.rows if row.advice]
    assert confidences == sorted(confidences, reverse=True)
    assert [row.symbol for row in ranked.rows if row.symbol in "CD"] == ["C", "D"]  # a tie: by name
    for row in ranked.rows:
        assert row.advice is not None
        given_bars = load_csv(CSV) if row.symbol == "C" else bars[row.symbol]
        alone = await aadvise(given_bars, symbol=row.symbol, client=offline, risk_score=75)
        assert row.advice[:2] == alone[:2]
        assert row.advice.rationale == alone.rationale
    assert offline.store().read(records.verify).rows == 8
    assert ranked.cost == 0


def test_an_error_stays_in_its_row(offline: Supernova) -> None:
    """Too few bars, a wrong symbol and a missing file do not stop the others; errors are the last rows."""
    seen: list[SymbolAdvice] = []
    ranked = advise_many(
        {"SHORT": series(1)[:9], "no ticker": series(2), "FILE": Path("none.csv"), "GOOD": series(3)},
        client=offline,
        on_advice=seen.append,
        explain=False,
    )
    assert [row.symbol for row in ranked.rows] == ["GOOD", "FILE", "SHORT", "no ticker"]
    errors = [row.error for row in ranked.rows]
    assert [
        part in error for part, error in zip(("", "none.csv", "9 finished", "symbol is"), errors, strict=True)
    ]
    assert errors[0] == ""
    assert ranked.rows[0].advice is not None
    assert [row.advice for row in ranked.rows[1:]] == [None, None, None]
    assert sorted(row.symbol for row in seen) == sorted(row.symbol for row in ranked.rows)
    plain = json.loads(json.dumps(ranked.to_dict()))
    assert plain["rows"][0]["details"]["symbol"] == "GOOD"
    assert plain["rows"][3] == {"symbol": "no ticker", "weight": None, "error": errors[3]}


async def test_one_limit_is_for_all_together(open_nova: Open, stub_provider: Stub) -> None:
    """A model explains as many symbols as the money is enough for; the others are advised without it."""
    stub = stub_provider(GOOD)
    nova = open_nova({"openai": {"url": stub.url, "models": {"premium": "gpt-4o-mini"}}})
    cost = (await aadvise(SAMPLE, symbol="AAPL", client=nova)).details.cost
    bars = {f"S{number}": SAMPLE for number in range(6)}
    limit = Decimal("0.0035") + cost
    ranked = await aadvise_many(bars, client=nova, max_cost=limit, parallel=1)
    reasons = [row.advice.details.why for row in ranked.rows if row.advice]
    assert len(reasons) == 6
    refused = sum(reason.startswith("BudgetExceeded") or "max_cost" in reason for reason in reasons)
    assert 0 < refused < 6
    assert 0 < ranked.cost <= limit
    assert ranked.cost == sum(row.advice.details.cost for row in ranked.rows if row.advice)


async def test_unknown_cost_is_not_given_back(
    open_nova: Open, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only a broken database knows what a failed request cost, its part of the limit is used up."""

    def fail(*_: object) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(records, "append", fail)
    nova = open_nova(
        {"openai": {"url": stub_provider(Failure(500)).url, "models": {"premium": "gpt-4o-mini"}}}
    )
    ranked = await aadvise_many({"A": SAMPLE, "B": SAMPLE}, client=nova, max_cost="0.01", parallel=1)
    reasons = [row.advice.details.why.partition(":")[0] for row in ranked.rows if row.advice]
    assert reasons == ["ProviderUnavailable", "BudgetExceeded"]


@given(
    limit=st.decimals("0.01", 10, places=4),
    workers=st.integers(1, 6),
    shares=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=40),
)
def test_parts_never_exceed_the_limit(limit: Decimal, workers: int, shares: list[tuple[int, int]]) -> None:
    """Whatever each advice spends of its part, and whenever it ends, all together spend at most the limit."""
    shared = _SharedLimit(limit, workers)
    running: list[Decimal | None] = [shared.take() for _ in range(workers)]
    spent = Decimal(0)
    for which, percent in shares:
        part = running.pop(which % workers)
        assert part is not None
        whole = to_nano(part)
        used = to_usd(whole * percent // 100 if whole > 1 else 0)  # nothing costs as little as 1 nano-USD
        spent += used
        shared.end(part, used)
        running.append(shared.take())
    assert spent <= limit


async def test_pairs_that_move_alike_are_named(offline: Supernova) -> None:
    """Correlated pairs and large weights are noted, over the days that both have."""
    one = series(5)
    twice = [
        replace(bar, open=2 * bar.open, high=2 * bar.high, low=2 * bar.low, close=2 * bar.close)
        for bar in one
    ]
    ranked = await aadvise_many(
        {
            "ONE": one,
            "TWICE": twice[20:],
            "OTHER": series(6),
            "FLAT": [replace(bar, open=9.0, high=9.0, low=9.0, close=9.0) for bar in one],
        },
        client=offline,
        positions={"ONE": {"weight": 0.4}, "TWICE": {"weight": 0.1}, "OTHER": {"weight": 0.5}},
    )
    (pair,) = ranked.correlations
    assert (pair.first, pair.second, pair.value, pair.changes) == ("ONE", "TWICE", 1.0, 99)
    assert ranked.notes == (
        "OTHER is 50 % of the portfolio. That is more than 25 %.",
        "ONE is 40 % of the portfolio. That is more than 25 %.",
        "The 3 weights are as diversified as 2.4 equal positions.",
        "ONE and TWICE move alike: the correlation of their changes is 1.00 over 99 changes between common "
        "dates, at least 0.8. Together they are 50 % of the portfolio.",
    )
    assert {row.symbol: row.weight for row in ranked.rows}["FLAT"] is None


async def test_error_of_a_callback_is_raised_as_it_is(offline: Supernova) -> None:
    """What a function of the caller raises comes out of ``aadvise_many`` as it does out of ``aadvise``."""

    def fail(_: object) -> None:
        raise ValueError("the progress bar broke")

    bars: dict[str, Any] = {"A": SAMPLE, "B": SAMPLE}
    for callback in ("on_advice", "on_bars"):
        options: Any = {callback: fail}
        with pytest.raises(ValueError, match="the progress bar broke"):
            await aadvise_many(bars, client=offline, **options)


async def test_none_is_the_same_as_not_given(offline: Supernova) -> None:
    """Every option but ``repair`` and the client may be None."""
    nothing: Any = dict.fromkeys(AdviceManyOptions.__annotations__.keys() - {"repair", "client"})
    ranked = await aadvise_many({"A": SAMPLE}, client=offline, **nothing)
    assert [row.error for row in ranked.rows] == [""]


@pytest.mark.parametrize(
    ("weights", "pairs", "bound", "notes"),
    [
        ({"A": 0.254}, [], 0.8, ["A is 25.4 % of the portfolio. That is more than 25 %."]),
        ({"A": 0.2504}, [], 0.8, []),
        (
            {"A": 0.3, "B": 0.0},
            [Correlation("A", "B", 0.8041, 79)],
            0.804,
            [
                "A is 30 % of the portfolio. That is more than 25 %.",
                "A and B move alike: the correlation of their changes is 0.804 over 79 changes between "
                "common dates, at least 0.804. Together they are 30 % of the portfolio.",
            ],
        ),
    ],
)
def test_a_note_is_true_of_the_figures_that_it_shows(
    weights: dict[str, float], pairs: list[Correlation], bound: float, notes: list[str]
) -> None:
    """A share or a correlation is compared with its bound as it is shown; one weight has no spread."""
    assert list(portfolio_notes(weights, pairs, bound, language())) == notes


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bars": {}}, "bars must have the bars of each symbol"),
        ({"bars": SAMPLE.bars}, "bars must have the bars of each symbol"),
        ({"parallel": 0}, "parallel is 0: it must be a whole number from 1 to 32"),
        ({"correlation": 2}, "correlation is 2"),
        ({"positions": {"B": {"weight": 0.1}}}, "positions has 'B': known are A"),
        ({"positions": {"A": {"weight": 1.5}}}, r"positions\['A'\] has weight 1.5: it must be a share of"),
        ({"positions": {"A": {"opened": "soon"}}}, r"positions\['A'\] has opened 'soon': it must be a date"),
        ({"positions": {"A": 0.4}}, r"positions\['A'\] is 0.4: give a dict of quantity, cost_basis, weight"),
        ({"positions": 0.4}, "positions is 0.4: give a dict of A"),
        ({"position": {"quantity": 5}}, "position is of one symbol: give positions="),
        ({"max_cost": 0}, "max_cost must be more than 0"),
    ],
)
async def test_wrong_options_are_refused(wrong: dict[str, Any], message: str, offline: Supernova) -> None:
    """An option that is wrong for all symbols is an error, and no advice is given."""
    arguments: dict[str, Any] = {"bars": {"A": SAMPLE}, "client": offline} | wrong
    with pytest.raises(InvalidRequest, match=message):
        await aadvise_many(**arguments)
    assert offline.store().read(records.verify).rows == 0


async def test_weights_are_at_most_the_whole(offline: Supernova) -> None:
    """Weights that are more than 1 together are refused."""
    with pytest.raises(InvalidRequest, match=r"the weights are 1\.2 together"):
        await aadvise_many(
            {"A": SAMPLE, "B": SAMPLE},
            positions={"A": {"weight": 0.7}, "B": {"weight": 0.5}},
            client=offline,
        )


async def test_each_symbol_has_its_position(offline: Supernova) -> None:
    """What is held, and the horizon, are those of the symbol; a wrong date is an error of its row alone."""
    ranked = await aadvise_many(
        {"A": SAMPLE, "B": SAMPLE, "C": SAMPLE},
        positions={
            "A": {"quantity": 5, "cost_basis": 120},
            "B": {"quantity": 0, "horizon": "long"},
            "C": {"opened": "2999-01-01"},
        },
        risk_score=75,
        client=offline,
    )
    rows = {row.symbol: row for row in ranked.rows}
    assert rows["A"].advice is not None
    assert rows["B"].advice is not None
    assert "buy more A." in rows["A"].advice.rationale
    assert "buy B." in rows["B"].advice.rationale
    assert {signal.facts for signal in rows["B"].advice.details.signals} >= {("sma_50", "sma_200")}
    assert "position has opened 2999-01-01" in rows["C"].error


def test_misspelled_options_are_named(offline: Supernova) -> None:
    """A misspelled option is an error that names the right one."""
    options: dict[str, Any] = {"positons": {"A": {}}}
    with pytest.raises(
        UnknownOption, match=r"advise_many\(\) has no option 'positons'. Did you mean 'positions'"
    ):
        advise_many({"A": SAMPLE}, client=offline, **options)
