"""``advise_many``: advice on several symbols in parallel, under one cost limit, as a ranked table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Unpack, cast

from supernova_ai.advisor.advise import aadvise, client_of, read_given
from supernova_ai.advisor.bars import History
from supernova_ai.advisor.checks import wrong
from supernova_ai.advisor.details import Advice
from supernova_ai.advisor.language import language
from supernova_ai.advisor.options import AdviceOptions, without_none
from supernova_ai.advisor.portfolio import (
    Closes,
    Correlation,
    correlations,
    daily_closes,
    portfolio_notes,
    read_positions,
    weights_of,
)
from supernova_ai.advisor.position import Position
from supernova_ai.blocking import run_blocking
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.errors import InvalidRequest, SupernovaError
from supernova_ai.money import NANO, to_nano, to_usd
from supernova_ai.requests import arguments
from supernova_ai.requests.options import check_names

_MOST_PARALLEL = 32


@dataclass(frozen=True, slots=True)
class SymbolAdvice:
    """One symbol's advice, or the error in its place. ``weight`` is its share of the portfolio, if given."""

    symbol: str
    weight: float | None
    advice: Advice | None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the row for ``json.dumps``: the parts of the advice, or the error."""
        row: dict[str, Any] = {"symbol": self.symbol, "weight": self.weight}
        if self.advice is None:
            return row | {"error": self.error}
        return row | self.advice._asdict() | {"details": self.advice.details.to_dict()}


@dataclass(frozen=True, slots=True)
class RankedAdvice:
    """Advice on several symbols: the highest confidence first, the errors last.

    ``cost`` is USD, for all requests. ``correlations`` are the pairs at or above the bound. ``notes`` say
    which positions are large and which symbols move alike.
    """

    rows: tuple[SymbolAdvice, ...]
    cost: Decimal
    correlations: tuple[Correlation, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for ``json.dumps``: times in ISO 8601, amounts of money as text."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "cost": f"{self.cost:f}",
            "correlations": [asdict(pair) for pair in self.correlations],
            "notes": list(self.notes),
        }


class AdviceManyOptions(AdviceOptions, total=False):
    """The options of ``advise_many`` and ``aadvise_many``: those of ``advise``, and these.

    ``max_cost`` limits all of it together. The others are for each symbol; ``positions`` takes the place of
    ``position``. Except for ``repair``, None is the same as not given.
    """

    parallel: int | None
    """How many symbols are advised on at the same time, 1 to 32. Default: 4."""

    positions: Mapping[str, Position] | None
    """What the client holds, by symbol, such as {"KO": {"weight": 0.4}}; the weights together at most 1. The
    notes say which positions are large."""

    correlation: float | None
    """The correlation of changes from which a pair of symbols is named, 0 to 1. Default: 0.8."""

    on_advice: Callable[[SymbolAdvice], object] | None
    """Called with each row as soon as it is there, in any order."""


def advise_many(
    bars: Mapping[str, History | Path | Iterable[Any]], **options: Unpack[AdviceManyOptions]
) -> RankedAdvice:
    """Advise on several symbols, from any thread, also in a running loop; see ``aadvise_many``."""
    check_names("advise_many", options, AdviceManyOptions)
    return run_blocking(lambda: aadvise_many(bars, **options))


async def aadvise_many(
    bars: Mapping[str, History | Path | Iterable[Any]], **options: Unpack[AdviceManyOptions]
) -> RankedAdvice:
    """Advise on several symbols, ranked by confidence. A symbol that fails has its error in its row.

    Args:
        bars: the bars of each symbol, as for ``advise``, or the path of its CSV file.
        **options: see ``AdviceManyOptions``.

    Raises:
        InvalidRequest: an option is wrong, or there are no symbols.
        ConfigError: the configuration of the default client is wrong.
    """
    check_names("aadvise_many", options, AdviceManyOptions)
    check_loop()
    options = without_none(options)
    if not isinstance(bars, Mapping) or not bars or not all(isinstance(symbol, str) for symbol in bars):
        raise InvalidRequest("bars must have the bars of each symbol, such as {'AAPL': bars, 'MSFT': more}")
    if "position" in options:
        raise InvalidRequest("position is of one symbol: give positions={'AAPL': {...}, 'MSFT': {...}}")
    positions = read_positions(options.get("positions"), list(bars))
    weights = weights_of(positions)
    parallel, bound = options.get("parallel", 4), options.get("correlation", 0.8)
    if not isinstance(parallel, int) or isinstance(parallel, bool) or not 1 <= parallel <= _MOST_PARALLEL:
        raise wrong("parallel is", parallel, f"a whole number from 1 to {_MOST_PARALLEL}")
    if not isinstance(bound, int | float) or not 0 <= bound <= 1:
        raise wrong("correlation is", bound, "a number from 0 to 1")
    on_advice = options.get("on_advice")
    workers = min(parallel, len(bars))
    limit = _SharedLimit(arguments.usd("max_cost", options.get("max_cost")), workers)
    each = cast(
        AdviceOptions,
        {name: value for name, value in options.items() if name in AdviceOptions.__annotations__},
    )
    each["client"] = nova = client_of(options)
    texts = language(options.get("language") or nova.config.advice.language)
    rows: list[SymbolAdvice] = []
    closes: dict[str, Closes] = {}
    waiting = iter(bars.items())

    async def work() -> None:
        for symbol, given in waiting:
            advice, error = None, ""
            part = spent = limit.take()
            try:
                history = await in_thread(read_given, given, each)
                closes[symbol] = daily_closes(history)
                own = each.copy()
                own["max_cost"], own["position"] = part, positions.get(symbol)
                advice = await aadvise(history, symbol=symbol, **own)
                if advice.details.cost_basis != "unknown":  # else it may have spent all of its part
                    spent = advice.details.cost
            except InvalidRequest as problem:  # before any request
                error, spent = str(problem), Decimal(0)
            except SupernovaError as problem:
                error = str(problem)
            limit.end(part, spent)
            rows.append(SymbolAdvice(symbol, weights.get(symbol), advice, error))
            if on_advice is not None:
                on_advice(rows[-1])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
    except* Exception as errors:  # of the caller's functions: others are in their rows
        raise errors.exceptions[0] from None
    pairs = await in_thread(
        correlations, {symbol: closes[symbol] for symbol in bars if symbol in closes}, bound
    )
    return RankedAdvice(
        rows=tuple(sorted(rows, key=_rank)),
        cost=sum((row.advice.details.cost for row in rows if row.advice), Decimal(0)),
        correlations=pairs,
        notes=tuple(portfolio_notes(weights, pairs, bound, texts)),
    )


class _SharedLimit:
    """One cost limit for advice in parallel: each may spend an equal part of what is left, in USD.

    What an advice does not spend is there for the next. The parts never exceed the limit together.
    """

    def __init__(self, limit: Decimal | None, workers: int) -> None:
        self._left = None if limit is None else int(limit * NANO)
        self._idle = workers

    def take(self) -> Decimal | None:
        """Reserve a part for one advice."""
        if self._left is None:
            return None
        # At least 1 nano-USD: a limit must be above 0, and every prompt to a paid model costs more.
        part = max(self._left // self._idle, 1)
        self._left -= part
        self._idle -= 1
        return to_usd(part)

    def end(self, part: Decimal | None, spent: Decimal | None) -> None:
        """Give back what one advice left of its part."""
        if self._left is not None and part is not None and spent is not None:
            self._left += to_nano(part) - to_nano(spent, round_up=True)
            self._idle += 1


def _rank(row: SymbolAdvice) -> tuple[float, str]:
    return (-row.advice.confidence if row.advice else 1.0, row.symbol)
