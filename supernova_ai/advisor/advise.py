"""``advise``: the bars decide, a model may explain, and a record is kept of it all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack, cast

from peewee import Database

from supernova_ai.advisor import rationale, records
from supernova_ai.advisor.bars import History, read_bars
from supernova_ai.advisor.details import Advice, Details
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import risk_notes
from supernova_ai.advisor.greeks import with_greeks
from supernova_ai.advisor.rationale import Rationale
from supernova_ai.advisor.records import RecordContent, digest
from supernova_ai.advisor.replay import bars_text, computed
from supernova_ai.client import Supernova, default
from supernova_ai.concurrency import check_loop, check_threads, in_thread, spawn
from supernova_ai.config.advice import AssetClass
from supernova_ai.errors import ProviderTimeout, StoreError
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.requests import arguments
from supernova_ai.requests.options import check_names
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import CostBasis, Reply, weakest

log = get_logger(__name__)

T = TypeVar("T")

_RECORDED = ("id", "request", "provider", "model", "state", "cost", "basis", "price_version")


class AdviceOptions(TypedDict, total=False):
    """The options of ``advise`` and ``aadvise``. None is the same as not given."""

    asset_class: AssetClass
    """stock, crypto, fx, futures or option. Default: stock."""

    risk_score: float
    """0 for the most cautious client to 100 for the boldest. Default: 50."""

    sentiment_hint: float
    """How good the news is, −1 to 1; moves the score up or down by it. Default: 0."""

    currency: str | None
    """What the prices are in, such as EUR. Default: the second of a pair such as USD/JPY, else USD."""

    greeks: Mapping[str, float] | None
    """Of an option: delta, gamma, theta, vega, rho, implied_volatility (0.25 is 25 %). The rationale may
    state them; they change nothing else."""

    news: str | None
    """What the client read. The rationale may use it; it changes nothing else."""

    user_id: str | int | None
    """Whose budgets the advice counts to, and whose record it is."""

    max_cost: Decimal | float | str | None
    """The most that all requests of the advice may cost together, in USD."""

    timeout: float | None
    """Seconds for the whole advice. A model's words that come later are left out. Without a timeout,
    ``routing.deadline`` bounds each request."""

    explain: bool
    """False: ask no model. Default: True."""

    client: Supernova | None
    """Whose configuration, keys and database are used. Default: the client of the module-level functions."""


def advise(bars: History | Iterable[Any], *, symbol: str, **options: Unpack[AdviceOptions]) -> Advice:
    """Advise on an asset from its bars, from any thread, in a running loop too; see ``aadvise``."""
    check_names("advise", options, AdviceOptions)
    check_threads()
    # On a thread and loop of its own: the caller's thread may have a loop that runs, or one it wants to keep.
    return spawn("supernova-advise", lambda: asyncio.run(aadvise(bars, symbol=symbol, **options))).result()


async def aadvise(bars: History | Iterable[Any], *, symbol: str, **options: Unpack[AdviceOptions]) -> Advice:
    """Advise on an asset from its bars: action, confidence, details, rationale and risk notes, to unpack.

    Action, confidence and every figure come from the bars. A model only words the rationale, and is not shown
    where its words do not follow from the facts. Without a model, for whatever reason, there is advice all
    the same, and ``details`` say why.

    Args:
        bars: dicts, ccxt rows, a pandas frame or a ``History``, as ``read_bars`` takes them.
        symbol: the ticker, such as AAPL or BTC/USDT.
        **options: see ``AdviceOptions``.

    Raises:
        InvalidRequest: an argument is wrong, or a bar; the message names it.
        ConfigError: the configuration of the default client is wrong.
        ProviderTimeout: even the bars could not be read in the time.
    """
    check_names("aadvise", options, AdviceOptions)
    check_loop()
    nova = options.get("client") or default()
    user = arguments.identity("user_id", options.get("user_id"))
    cap = arguments.usd("max_cost", options.get("max_cost"))
    news = options.get("news")
    news = arguments.text("news", news).strip() or None if news is not None else None
    asset_class = options.get("asset_class", "stock")
    sentiment_hint = options.get("sentiment_hint", 0.0)
    greeks = options.get("greeks") or {}
    rules = nova.config.advice
    limit = arguments.seconds("timeout", options.get("timeout"))
    clock = asyncio.get_running_loop().time
    deadline = None if limit is None else clock() + limit
    # The model's time ends a little before, so that its words can be checked and the record kept.
    words_by = None if limit is None or deadline is None else deadline - min(1.0, limit / 5)
    began = asyncio.ensure_future(in_thread(_now_ms, nova))

    def look() -> tuple[History, Assessment]:
        history = bars if isinstance(bars, History) else read_bars(bars)
        found = assess(
            history,
            symbol=symbol,
            asset_class=asset_class,
            risk_score=options.get("risk_score", 50),
            sentiment_hint=sentiment_hint,
            currency=options.get("currency"),
            rules=rules,
        )
        return history, with_greeks(found, greeks)

    try:
        async with asyncio.timeout_at(deadline):
            history, found = await in_thread(look)
    except TimeoutError:
        raise ProviderTimeout(f"reading the bars took all of the {limit:g} s") from None
    began_ms = await _by(words_by, began)
    template = nova.template(f"advice-{asset_class}")

    async def ask(values: Mapping[str, Any], left: Decimal | None) -> Reply:
        if words_by is None:
            return await nova.ask(template.name, values, user_id=user, max_cost=left)
        remaining = max(0.001, words_by - clock())
        try:
            # The request's own timeout comes first, and names it; this one bounds the client's opening too.
            async with asyncio.timeout(remaining * 1.1):
                return await nova.ask(template.name, values, user_id=user, max_cost=left, timeout=remaining)
        except TimeoutError:
            raise ProviderTimeout(f"no words of a model within the {limit:g} s") from None

    if options.get("explain", True):
        said = await rationale.write(
            found, ask, rules=rules, sections=template.contract.sections, news=news, max_cost=cap
        )
    else:
        said = rationale.deterministic(found, rules, "no model was asked: explain is False")
    disclaimers = (template.disclaimer,) if template.disclaimer else ()
    content = {
        "inputs": {"bars": digest(bars_text(history)), "news": news and digest(news)},
        "computed": computed(
            history,
            found,
            said,
            sentiment_hint=float(sentiment_hint),
            greeks=greeks,
            rules=rules,
            sections=template.contract.sections,
        ),
        "why": said.why,
        "quality": {"score": said.quality.score, **said.quality.parts},
        "disclaimers": disclaimers,
        "prompt": {"name": template.name, "version": template.version, "hash": template.hash},
        "config_version": nova.config_version,
    }
    record = RecordContent(
        id=uuid.uuid4().hex,
        created_ms=0,
        user_id=user,
        symbol=symbol,
        action=found.action,
        content=content,
        bars=bars_text(history) if rules.keep_bars else None,
        news=news,
        began_ms=began_ms,
    )
    kept = await _by(deadline, in_thread(_keep, nova, record, said)) or _not_kept(
        said, f"the database did not take it within the {limit:g} s"
    )
    return Advice(
        found.action,
        found.confidence,
        Details(
            symbol=symbol,
            asset_class=asset_class,
            as_of=history.bars[-1].time,
            score=found.score,
            regime=found.regime,
            facts=found.facts,
            signals=found.signals,
            indicators=found.indicators,
            source=said.source,
            why=said.why,
            grounding=said.report,
            quality_score=said.quality.score,
            cost=kept.cost,
            cost_basis=kept.basis,
            gaps=history.gaps,
            unfinished=history.unfinished,
            attempts=tuple(attempt for reply in said.replies for attempt in reply.attempts),
            request_ids=said.requests,
            disclaimers=disclaimers,
            notes=kept.notes,
            record_id=kept.record_id,
        ),
        "\n\n".join((said.text, *disclaimers)),
        risk_notes(found),
    )


async def _by(deadline: float | None, waiting: Awaitable[T]) -> T | None:
    """Return what is awaited, None if it is not there by the deadline, on the loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            return await waiting
    except TimeoutError:
        return None


def _now_ms(nova: Supernova) -> int | None:
    """Return the store's time, None where it cannot be opened: there is advice all the same."""
    try:
        return nova.store().now_ms()
    except StoreError:
        return None


class _Kept(NamedTuple):
    """What became of the record, and what the ledger says that the requests cost, in USD."""

    record_id: str | None
    cost: Decimal
    basis: CostBasis | None
    notes: tuple[str, ...] = ()


def _keep(nova: Supernova, record: RecordContent, said: Rationale) -> _Kept:
    """Write the record; advice that cannot be recorded is given all the same, and says so."""
    try:
        store = nova.store()
        rows = store.read(lambda database: _attempts(database, said.requests))
        attempts = [{name: getattr(row, name) for name in _RECORDED} for row in rows]
        content = {**record.content, "attempts": attempts}
        whole = replace(record, created_ms=store.now_ms(), content=content)
        store.write(lambda database: records.append(database, whole)).result()
    except StoreError as error:
        log.error("advice.record.failed", symbol=record.symbol, error=str(error))
        return _not_kept(said, str(error))
    bases = [cast(CostBasis, row.basis) for row in rows if row.basis]
    return _Kept(record.id, to_usd(sum(row.cost for row in rows)), weakest(bases))


def _not_kept(said: Rationale, reason: str) -> _Kept:
    cost = sum((reply.cost for reply in said.replies), Decimal(0))
    bases = [reply.cost_basis for reply in said.replies]
    return _Kept(None, cost, weakest(bases), (f"no record was kept: {reason}",))


def _attempts(database: Database, requests: Sequence[str]) -> list[AttemptRow]:
    query = (
        AttemptRow.select()
        .where(AttemptRow.request.in_(requests))
        .order_by(AttemptRow.started_ms, AttemptRow.id)
    )
    return list(query.execute(database)) if requests else []
