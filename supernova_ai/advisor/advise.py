"""``advise``: the bars decide, a model may explain, and a record is kept of it all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, TypeVar, Unpack, cast

from peewee import Database

from supernova_ai.advisor import rationale, records
from supernova_ai.advisor.bars import History, read_bars
from supernova_ai.advisor.details import Advice, Details
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import risk_notes
from supernova_ai.advisor.greeks import with_greeks
from supernova_ai.advisor.options import AdviceOptions
from supernova_ai.advisor.rationale import Rationale
from supernova_ai.advisor.records import RecordContent, digest
from supernova_ai.advisor.replay import bars_text, computed
from supernova_ai.client import Supernova, default
from supernova_ai.concurrency import check_loop, check_threads, in_thread, spawn
from supernova_ai.config.advice import AdviceRules
from supernova_ai.errors import ProviderTimeout, StoreError
from supernova_ai.log import get_logger
from supernova_ai.money import to_usd
from supernova_ai.prompts import Template
from supernova_ai.requests import arguments
from supernova_ai.requests.options import check_names
from supernova_ai.store.tables import AttemptRow
from supernova_ai.types import CostBasis, Reply, weakest

log = get_logger(__name__)

T = TypeVar("T")

_RECORDED = ("id", "request", "provider", "model", "state", "cost", "basis", "price_version")


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
    rules = nova.config.advice
    user = arguments.identity("user_id", options.get("user_id"))
    cap = arguments.usd("max_cost", options.get("max_cost"))
    news = options.get("news")
    news = arguments.text("news", news).strip() or None if news is not None else None
    times = _Times.of(arguments.seconds("timeout", options.get("timeout")))
    began = asyncio.ensure_future(in_thread(_now_ms, nova))
    try:
        async with asyncio.timeout_at(times.deadline):
            history, found = await in_thread(_assess, bars, symbol, options, rules)
    except TimeoutError:
        raise ProviderTimeout(f"reading the bars took all of the {times.limit:g} s") from None
    began_ms = await _by(times.words_by, began)
    template = nova.template(f"advice-{found.asset_class}")
    if options.get("explain", True):
        said = await rationale.write(
            found,
            partial(_ask, nova, template.name, user, times),
            rules=rules,
            sections=template.contract.sections,
            news=news,
            max_cost=cap,
        )
    else:
        said = rationale.deterministic(found, rules, "no model was asked: explain is False")
    record = RecordContent(
        id=uuid.uuid4().hex,
        created_ms=0,
        user_id=user,
        symbol=symbol,
        action=found.action,
        content={
            **_content(history, found, said, template, rules, news, options),
            "config_version": nova.config_version,
        },
        bars=bars_text(history) if rules.keep_bars else None,
        news=news,
        began_ms=began_ms,
    )
    kept = await _by(times.deadline, in_thread(_keep, nova, record, said)) or _not_kept(
        said, f"the database did not take it within the {times.limit:g} s"
    )
    return _advice(history, found, said, kept, _disclaimers(template))


class _Times(NamedTuple):
    """The seconds allowed; on the loop's clock, when the advice must be there, and a model's words for it."""

    limit: float | None
    deadline: float | None
    words_by: float | None

    @classmethod
    def of(cls, limit: float | None) -> _Times:
        if limit is None:
            return cls(None, None, None)
        deadline = asyncio.get_running_loop().time() + limit
        # The model's time ends a little before, so that its words can be checked and the record kept.
        return cls(limit, deadline, deadline - min(1.0, limit / 5))


def _assess(
    bars: History | Iterable[Any], symbol: str, options: AdviceOptions, rules: AdviceRules
) -> tuple[History, Assessment]:
    history = bars if isinstance(bars, History) else read_bars(bars)
    found = assess(
        history,
        symbol=symbol,
        asset_class=options.get("asset_class", "stock"),
        risk_score=options.get("risk_score", 50),
        sentiment_hint=options.get("sentiment_hint", 0.0),
        currency=options.get("currency"),
        rules=rules,
    )
    return history, with_greeks(found, options.get("greeks") or {})


async def _ask(
    nova: Supernova,
    prompt: str,
    user: str | None,
    times: _Times,
    values: Mapping[str, Any],
    left: Decimal | None,
) -> Reply:
    """Ask a model for a rationale, within the time and the money that are left."""
    if times.words_by is None:
        return await nova.ask(prompt, values, user_id=user, max_cost=left)
    remaining = max(0.001, times.words_by - asyncio.get_running_loop().time())
    try:
        # The request's own timeout comes first, and names it; this one bounds the client's opening too.
        async with asyncio.timeout(remaining * 1.1):
            return await nova.ask(prompt, values, user_id=user, max_cost=left, timeout=remaining)
    except TimeoutError:
        raise ProviderTimeout(f"no words of a model within the {times.limit:g} s") from None


def _content(
    history: History,
    found: Assessment,
    said: Rationale,
    template: Template,
    rules: AdviceRules,
    news: str | None,
    options: AdviceOptions,
) -> dict[str, Any]:
    """Return what the record says of this advice, as JSON."""
    return {
        "inputs": {"bars": digest(bars_text(history)), "news": news and digest(news)},
        "computed": computed(
            history,
            found,
            said,
            sentiment_hint=float(options.get("sentiment_hint", 0.0)),
            greeks=options.get("greeks") or {},
            rules=rules,
            sections=template.contract.sections,
        ),
        "why": said.why,
        "quality": {"score": said.quality.score, **said.quality.parts},
        "disclaimers": _disclaimers(template),
        "prompt": {"name": template.name, "version": template.version, "hash": template.hash},
    }


def _disclaimers(template: Template) -> tuple[str, ...]:
    return (template.disclaimer,) if template.disclaimer else ()


def _advice(
    history: History, found: Assessment, said: Rationale, kept: _Kept, disclaimers: tuple[str, ...]
) -> Advice:
    return Advice(
        found.action,
        found.confidence,
        Details(
            symbol=found.symbol,
            asset_class=found.asset_class,
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
