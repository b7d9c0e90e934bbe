"""``advise``: the bars decide, a model may explain, and a record is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Unpack

from supernova_ai.advisor.answer import Answer
from supernova_ai.advisor.bars import History, load_csv, read_bars
from supernova_ai.advisor.details import Advice, Details
from supernova_ai.advisor.explain import risk_notes
from supernova_ai.advisor.options import AdviceOptions, without_none
from supernova_ai.advisor.rationale import Rationale, compose, write_rationale
from supernova_ai.advisor.recording import Decision, SavedRecord, new_record, save, unsaved
from supernova_ai.advisor.request import AdviceRequest, read_request
from supernova_ai.blocking import run_blocking
from supernova_ai.client import Supernova
from supernova_ai.client_sync import SupernovaSync
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.default_client import default
from supernova_ai.errors import ProviderTimeout, StoreError
from supernova_ai.identifiers import checked_tags
from supernova_ai.requests import arguments, messages
from supernova_ai.requests.options import check_names
from supernova_ai.types import Reply

T = TypeVar("T")


def advise(bars: History | Path | Iterable[Any], *, symbol: str, **options: Unpack[AdviceOptions]) -> Advice:
    """Advise on an asset from its bars, from any thread, also in a running loop; see ``aadvise``."""
    check_names("advise", options, AdviceOptions)
    return run_blocking(lambda: aadvise(bars, symbol=symbol, **options))


async def aadvise(
    bars: History | Path | Iterable[Any], *, symbol: str, **options: Unpack[AdviceOptions]
) -> Advice:
    """Advise on an asset from its bars: action, confidence, details, rationale and risk notes, to unpack.

    The bars determine the action, the confidence and every figure. A model only writes sentences with slots
    for the figures; a sentence is shown if it follows from the facts. Without a model the advice is the same,
    and ``details`` give the reason.

    Args:
        bars: a ``History``, the ``Path`` of a file, or what ``read_bars`` reads, such as dicts or a frame.
        symbol: the ticker, such as AAPL or BTC/USDT.
        **options: see ``AdviceOptions``.

    Raises:
        InvalidRequest: an argument or a bar is wrong; the message names it.
        ConfigError: the configuration of the default client is wrong.
        ProviderTimeout: the timeout was too short to read the bars.
    """
    check_names("aadvise", options, AdviceOptions)
    check_loop()
    options = without_none(options)
    deadlines = _Deadlines.of(arguments.seconds("timeout", options.get("timeout")))
    nova = client_of(options)
    user = arguments.identity("user_id", options.get("user_id"))
    team, tags = arguments.team(options.get("team")), checked_tags(options.get("tags"))
    max_cost = arguments.usd("max_cost", options.get("max_cost"))
    request, news = read_request(symbol, options), options.get("news")
    news = messages.text("news", news).strip() or None if isinstance(news, str) else None
    began = asyncio.ensure_future(in_thread(_now_ms, nova))
    decision = await _decide(bars, options, request, nova, deadlines)
    began_ms = await _until(deadlines.model, began)
    assessment, template = decision.assessment, decision.template
    if options.get("explain", True):
        if on_bars := options.get("on_bars"):
            own = compose(assessment, (), "no model was asked yet")
            on_bars(_advice(decision, own, SavedRecord(None, Decimal(0), None)))
        ask = partial(nova.ask, template.name, response_model=Answer, user_id=user, team=team, tags=tags)
        rationale = await write_rationale(
            assessment, partial(_ask, ask, deadlines), news=news, max_cost=max_cost
        )
    else:
        rationale = compose(assessment, (), "no model was asked: explain is False")
    record = new_record(decision, rationale, nova.config_version, user=user, news=news, began_ms=began_ms)
    saved = await _until(deadlines.advice, in_thread(save, nova, record, rationale)) or unsaved(
        rationale,
        record.id,
        "the record may be stored later: the database did not store it within the timeout of "
        f"{deadlines.timeout:g} s",
    )
    return _advice(decision, rationale, saved)


class _Deadlines(NamedTuple):
    """The timeout in seconds; the deadlines of the advice and of the model's text, on the loop's clock."""

    timeout: float | None
    advice: float | None
    model: float | None

    @classmethod
    def of(cls, timeout: float | None) -> _Deadlines:
        if timeout is None:
            return cls(None, None, None)
        deadline = asyncio.get_running_loop().time() + timeout
        # The model's deadline is earlier, to leave time for checking its text and for the record.
        return cls(timeout, deadline, deadline - min(1.0, timeout / 5))


def client_of(options: AdviceOptions) -> Supernova:
    """Return the client of the options, or the default client."""
    client = options.get("client")
    if isinstance(client, SupernovaSync):
        return client.nova
    return client or default(preload=bool(options.get("explain", True)))


def read_given(bars: History | Path | Iterable[Any], options: AdviceOptions) -> History:
    """Return the bars, read as the options say; those of a ``History`` are read already."""
    if isinstance(bars, History):
        return bars
    repair, day_first, decimal = (
        options.get("repair", "clip"),
        options.get("day_first"),
        options.get("decimal"),
    )
    if isinstance(bars, Path):
        return load_csv(bars, repair=repair, day_first=day_first, decimal=decimal)
    return read_bars(bars, repair=repair, day_first=day_first, decimal=decimal)


async def _decide(
    bars: History | Path | Iterable[Any],
    options: AdviceOptions,
    request: AdviceRequest,
    nova: Supernova,
    deadlines: _Deadlines,
) -> Decision:
    rules = nova.config.advice
    try:
        async with asyncio.timeout_at(deadlines.advice):
            history = await in_thread(read_given, bars, options)
            assessment = await in_thread(request.assess, history, rules)
    except TimeoutError:
        raise ProviderTimeout(f"reading the bars took all of the {deadlines.timeout:g} s") from None
    return Decision(history, request, rules, assessment, nova.template(f"advice-{assessment.asset_class}"))


async def _ask(
    ask: Callable[..., Awaitable[Reply[Answer]]],
    deadlines: _Deadlines,
    values: Mapping[str, Any],
    max_cost: Decimal | None,
) -> Reply[Answer]:
    """Ask a model for a rationale, within the time and the money that are left."""
    if deadlines.model is None:
        return await ask(values, max_cost=max_cost)
    remaining = max(0.001, deadlines.model - asyncio.get_running_loop().time())
    try:
        # The request's own timeout is reached first, and its error is better. This one also limits opening.
        async with asyncio.timeout(remaining * 1.1):
            return await ask(values, max_cost=max_cost, timeout=remaining)
    except TimeoutError:
        raise ProviderTimeout(f"the model's text was not there within {deadlines.timeout:g} s") from None


def _advice(decision: Decision, rationale: Rationale, saved: SavedRecord) -> Advice:
    history, assessment, disclaimers = decision.history, decision.assessment, decision.disclaimers
    details = Details(
        symbol=assessment.symbol,
        asset_class=assessment.asset_class,
        as_of=history.bars[-1].time,
        score=assessment.score,
        regime=assessment.regime,
        facts=assessment.facts,
        signals=assessment.signals,
        indicators=assessment.indicators,
        source=rationale.source,
        why=rationale.why,
        sentences=rationale.sentences,
        quality_score=rationale.quality.score,
        cost=saved.cost,
        cost_basis=saved.basis,
        gaps=history.gaps,
        unfinished=history.unfinished,
        repairs=history.repairs,
        attempts=tuple(attempt for reply in rationale.replies for attempt in reply.attempts),
        request_ids=rationale.requests,
        disclaimers=disclaimers,
        notes=saved.notes,
        record_id=saved.record_id,
    )
    text = "\n\n".join((rationale.text, *disclaimers))
    return Advice(assessment.action, assessment.confidence, details, text, risk_notes(assessment))


async def _until(deadline: float | None, waiting: Awaitable[T]) -> T | None:
    """Return the result, or None if it is not there by the deadline on the loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            return await waiting
    except TimeoutError:
        return None


def _now_ms(nova: Supernova) -> int | None:
    """Return the store's time; None if the store cannot be opened, because advice does not need it."""
    try:
        return nova.store().now_ms()
    except StoreError:
        return None
