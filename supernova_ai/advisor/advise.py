"""``advise``: the bars decide, a model may explain, and a record is kept of it all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, cast

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
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import CostBasis, Reply, weakest

log = get_logger(__name__)

T = TypeVar("T")

_RECORDED = ("id", "request", "provider", "model", "state", "cost", "basis", "price_version")


def advise(bars: Any, **options: Any) -> Advice:
    """Advise on an asset from its bars; see ``aadvise``. It may be called anywhere, in a running loop too."""
    check_threads()
    # On a thread and loop of its own: the caller's thread may have a loop that runs, or one it wants to keep.
    return spawn("supernova-advise", lambda: asyncio.run(aadvise(bars, **options))).result()


async def aadvise(
    bars: Any,
    *,
    symbol: str,
    asset_class: AssetClass = "stock",
    risk_score: float = 50,
    sentiment_hint: float = 0.0,
    currency: str | None = None,
    greeks: Mapping[str, float] | None = None,
    news: str | None = None,
    user_id: str | int | None = None,
    max_cost: Decimal | float | str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - the advice is given in time, not cancelled
    explain: bool = True,
    client: Supernova | None = None,
) -> Advice:
    """Advise on an asset from its bars: action, confidence, details, rationale and risk notes, to unpack.

    Action, confidence and every figure come from the bars. A model only words the rationale, and is not shown
    where its words do not follow from the facts. Without a model, for whatever reason, there is advice all
    the same, and ``details`` say why.

    Args:
        bars: dicts, ccxt rows, a pandas frame or a ``History``, as ``read_bars`` takes them.
        symbol: the ticker, such as AAPL or BTC/USDT.
        asset_class: stock, crypto, fx, futures or option.
        risk_score: 0 for the most cautious client to 100 for the boldest.
        sentiment_hint: how good the news is, −1 to 1; moves the score up or down by it.
        currency: what the prices are in, as EUR; the second of a pair such as USD/JPY unless given, else USD.
        greeks: of an option: delta, gamma, theta, vega, rho, implied_volatility (0.25 is 25 %). The rationale
            may state them; they move nothing.
        news: what the client read, for the rationale. It is data, and moves nothing.
        user_id: whose budget it counts to, and whose record it is.
        max_cost: USD, for all requests of it together.
        timeout: seconds, for everything. A model whose words come later is not waited for: the advice is
            given without them. Unless given, ``routing.deadline`` bounds each of its requests.
        explain: False asks no model.
        client: the default client unless given.

    Raises:
        InvalidRequest: an argument is wrong, or a bar; the message names it.
        ConfigError: the configuration of the default client is wrong.
        ProviderTimeout: even the bars could not be read in the time.
    """
    check_loop()
    nova = client or default()
    user = arguments.identity("user_id", user_id)
    cap = arguments.usd("max_cost", max_cost)
    news = arguments.text("news", news).strip() or None if news is not None else None
    rules = nova.config.advice
    limit = arguments.seconds("timeout", timeout)
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
            risk_score=risk_score,
            sentiment_hint=sentiment_hint,
            currency=currency,
            rules=rules,
        )
        return history, with_greeks(found, greeks or {})

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

    if explain:
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
            greeks=greeks or {},
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
