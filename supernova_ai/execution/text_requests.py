"""Requests to embed and to rerank: batches of texts, and what the cache has of them.

The engine answers each batch as it answers a chat. Its reply has the vectors, or the ranking, in ``parsed``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from supernova_ai.concurrency import deadline_after
from supernova_ai.errors import UnreadableAnswer
from supernova_ai.execution.cache import AnswerCache, CachedAnswer
from supernova_ai.execution.request_state import Versions
from supernova_ai.litellm_adapter.token_bounds import text_bound
from supernova_ai.types import CostBasis, Embeddings, Ranked, Ranking, Reply, Request, Usage, Vector

T = TypeVar("T")

MOST_TEXTS = 96
"""Texts of one provider call: what Cohere allows; others allow 100 (Gemini) to 2,048 (OpenAI)."""

MOST_TOKENS = 120_000
"""Tokens of one provider call, by their upper bound: what Voyage allows; OpenAI allows 300,000."""


class RunOnEngine(Protocol):
    """Runs on the engine's loop; ``Engine.run`` does."""

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


class TextRequests:
    """Answers requests to embed and to rerank. Await its methods on the caller's own loop.

    Args:
        complete: sends a request.
        run: runs what uses the cache.
        versions: written to the ledger where the cache answers.
        timer: seconds, monotonic.
    """

    def __init__(
        self,
        complete: Callable[[Request], Awaitable[Reply]],
        cache: AnswerCache,
        run: RunOnEngine,
        versions: Versions,
        timer: Callable[[], float],
    ) -> None:
        self._complete = complete
        self._cache = cache
        self._run = run
        self._versions = versions
        self._timer = timer

    async def embed(self, request: Request) -> Embeddings:
        """Return a vector for each text. Equal texts, and texts in the cache, are not sent again.

        Raises:
            UnreadableAnswer: two batches, or a batch and the cache, have vectors of different lengths.
            SupernovaError: a batch could not be answered; the vectors of earlier ones are in the cache.
        """
        started, deadline = self._timer(), deadline_after(request.timeout)
        keys = self._cache.text_keys(request)
        found = await self._in_time(request, deadline, self._cache.find_all(list(keys.values())))
        known = {text: found[key] for text, key in keys.items() if key in found}
        vectors: dict[str, Vector] = {text: tuple(json.loads(one.content)) for text, one in known.items()}
        reply: Reply | None = None
        for batch in _batches([text for text in dict.fromkeys(request.texts) if text not in known]):
            reply = await self._complete(
                replace(
                    request.after(self._timer() - started),
                    texts=batch,
                    earlier=reply.attempts if reply else (),
                )
            )
            new = dict(zip(batch, reply.parsed, strict=True))
            vectors |= new
            kept = {keys[text]: _kept(reply, vector) for text, vector in new.items() if keys}
            await self._run(self._cache.store_all(request, kept))
        answer = reply or next(iter(known.values()))
        if isinstance(answer, CachedAnswer):
            await self._in_time(request, deadline, self._cache.record(request, self._versions, answer))
        lengths = {len(vector) for vector in vectors.values()}
        if len(lengths) > 1:
            raise UnreadableAnswer(
                f"the vectors of {answer.model} have different lengths: {sorted(lengths)}. Its server has "
                f"another model under the same name now: configure its name, or wait until the cache expires",
                provider=answer.provider,
                model=answer.model,
            )
        return Embeddings(
            vectors=tuple(vectors[text] for text in request.texts),
            dimensions=lengths.pop(),
            cached=sum(text in known for text in request.texts),
            **self._account(answer, request, started),
        )

    async def rerank(self, request: Request) -> Ranking:
        """Return the documents by their relevance, or what the cache has for exactly the same request."""
        started, deadline = self._timer(), deadline_after(request.timeout)
        keys = list(self._cache.text_keys(request).values())
        known = await self._in_time(request, deadline, self._cache.find_all(keys))
        if found := next(iter(known.values()), None):
            await self._in_time(request, deadline, self._cache.record(request, self._versions, found))
            results = tuple(Ranked(*pair) for pair in json.loads(found.content))
            return Ranking(results, **self._account(found, request, started), cached=True)
        reply = await self._complete(request)
        kept = _kept(reply, [(one.index, one.score) for one in reply.parsed])
        await self._run(self._cache.store_all(request, dict.fromkeys(keys, kept)))
        return Ranking(reply.parsed, **self._account(reply, request, started))

    async def _in_time(self, request: Request, deadline: float | None, work: Coroutine[Any, Any, T]) -> T:
        """Run what uses the cache by the request's deadline.

        Raises:
            ProviderTimeout: it took longer.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await self._run(work)
        except TimeoutError:
            raise request.timed_out() from None

    def _account(self, answer: Reply | CachedAnswer, request: Request, started: float) -> dict[str, Any]:
        """Return what a record says of its provider and cost: nothing was paid for what the cache has."""
        paid = answer if isinstance(answer, Reply) else None
        basis: CostBasis = paid.cost_basis if paid else "cached"
        return {
            "provider": answer.provider,
            "model": answer.model,
            "cost": paid.cost if paid else Decimal(0),
            "cost_basis": basis,
            "usage": paid.usage if paid else Usage(),
            "latency_s": self._timer() - (request.started or started),
            "request_id": request.id,
            "attempts": paid.attempts if paid else (),
        }


def _kept(reply: Reply, value: object) -> CachedAnswer:
    return CachedAnswer(json.dumps(value), reply.provider, reply.model, reply.tier, Usage(), None)


def _batches(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the texts in batches that every provider accepts; a text that is too long for all comes alone."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        bound = text_bound(text)
        if batch and (len(batch) == MOST_TEXTS or tokens + bound > MOST_TOKENS):
            yield tuple(batch)
            batch, tokens = [], 0
        batch.append(text)
        tokens += bound
    if batch:
        yield tuple(batch)
