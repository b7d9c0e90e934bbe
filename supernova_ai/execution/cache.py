"""The answer cache: it answers a request again with the answer to exactly the same request.

Answers are kept in memory or Redis by LiteLLM's stores, or encrypted in the database. The rest of LiteLLM's
caching is not used: it is global to the process, its key leaves out the user, and it registers callbacks for
every call. Its disk cache is not used because it reads pickles, which can execute code.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from supernova_ai.config import Cache, Config
from supernova_ai.execution.cached_answers import StoredAnswers
from supernova_ai.execution.entries import entry_of
from supernova_ai.execution.request_state import RequestState, Versions
from supernova_ai.keys import KeySource
from supernova_ai.ledger import Ledger
from supernova_ai.litellm_adapter.setup import InMemoryCache, RedisCache, ServiceLogging
from supernova_ai.log import get_logger
from supernova_ai.routing.deployments import Deployment
from supernova_ai.types import MODEL_GROUPS, Attachment, ModelGroup, Reply, Request, Tier, Usage

log = get_logger(__name__)

PATIENCE_S = 0.25
"""How long a call waits for the cache before it continues without it."""

PAUSE_S = 60.0
"""How long a cache that failed is not used; it is logged once in this time."""

_MOST_IN_MEMORY = 1000


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What is kept of a reply; ``content`` is the text, or the JSON of a vector or a ranking."""

    content: str
    provider: str
    model: str
    tier: ModelGroup
    usage: Usage
    finish_reason: str | None
    reasoning: str | None = None
    dropped: tuple[str, ...] = ()


_ANSWER = TypeAdapter(CachedAnswer)


class AnswerCache:
    """Looks up and stores answers. Its failures never reach a call.

    Call ``apply`` before anything else.

    Args:
        store: one of LiteLLM's, or ``StoredAnswers``; None is no cache.
        timer: seconds, monotonic.
    """

    def __init__(self, store: Any, ledger: Ledger, timer: Callable[[], float]) -> None:
        self._store = store
        self._ledger = ledger
        self._timer = timer
        self._package = version("supernova-ai")
        self._paused_until = self._silent_until = timer()

    def apply(self, settings: Cache, deployments: Iterable[Deployment]) -> None:
        """Apply these settings, except for the type, which stays what it was when the client opened.

        Args:
            deployments: their models and addresses are part of the cache key.
        """
        self._settings = settings
        ranked = sorted(deployments, key=lambda d: d.rank)
        self._models = {
            tier: list(dict.fromkeys(d.identity._replace(slot=None).id for d in ranked if d.tier == tier))
            for tier in MODEL_GROUPS
        }

    def cache_key(self, request: Request) -> str | None:
        """Return the request's key, a hash of all that may change the answer; None: it is not cached."""
        if self._store is None or not request.cache or request.parameters.get("logprobs") or request.texts:
            return None
        parts = {
            "messages": request.messages,
            "tier": request.tier,
            "models": self._models[request.tier],
            "pinned": request.model,
            "max_tokens": request.max_tokens,
            "parameters": [request.parameters, request.extra],
            "prompt": request.prompt_hash,
        }
        return self._key(request, parts)

    def text_keys(self, request: Request) -> dict[str, str]:
        """Return the key of each text's vector, or of the ranking by its query; none: nothing is cached."""
        if self._store is None or not request.cache:
            return {}
        parts = {
            "tier": request.tier,
            "model": request.model or self._models[request.tier],
            "parameters": [request.parameters, request.extra],
        }
        if request.query is not None:
            return {request.query: self._key(request, parts | {"by": request.query, "texts": request.texts})}
        return {text: self._key(request, parts | {"text": text}) for text in request.texts}

    def _key(self, request: Request, parts: Mapping[str, Any]) -> str:
        owner = "shared" if self._settings.shared else [request.user_id]
        text = json.dumps({**parts, "user": owner, "package": self._package}, sort_keys=True, default=_digest)
        return f"supernova:answer:{hashlib.sha256(text.encode()).hexdigest()}"

    async def look_up(self, call: RequestState, key: str | None, versions: Versions) -> Reply | None:
        """Return the stored answer, once its row is in the ledger; None if there is none.

        Args:
            versions: written to the ledger.

        Raises:
            StoreError: the ledger could not be written.
            UserErased: the user was erased after the call began.
        """
        request = call.request
        found = None if key is None else await self._find(key)
        if found is None:
            return None
        try:
            parsed = request.answer.parse(found.content) if request.answer else None
        except ValueError:  # the type has changed, and its schema has not
            return None
        await self.record(request, versions, found)
        latency_s = self._timer() - call.started
        return Reply(
            content=found.content,
            provider=found.provider,
            model=found.model,
            tier=cast("Tier", found.tier),
            cost=Decimal(0),
            cost_basis="cached",
            usage=found.usage,
            latency_s=latency_s,
            first_token_s=latency_s,
            request_id=request.id,
            attempts=(),
            finish_reason=found.finish_reason,
            reasoning=found.reasoning,
            cached=True,
            tier_reason=request.tier_reason,
            parsed=parsed,
            dropped=found.dropped,
        )

    async def store(self, call: RequestState, key: str | None, reply: Reply) -> None:
        """Store the answer if it is whole: not cut short, not resumed, not of a cheaper tier."""
        whole = reply.finish_reason == "stop" and reply.content and reply.fitted_to is None
        if key is None or not whole or call.breaks or reply.tier != call.asked.tier:
            return
        answer = CachedAnswer(
            reply.content,
            reply.provider,
            reply.model,
            reply.tier,
            reply.usage,
            reply.finish_reason,
            reply.reasoning,
            reply.dropped,
        )
        value = _ANSWER.dump_json(answer).decode()
        await self._try("set_cache", key, value, ttl=self._settings.ttl, **self._owner(call.request))

    async def record(self, request: Request, versions: Versions, found: CachedAnswer) -> None:
        """Write the ledger's row of a request that the cache answers; raises as ``look_up`` does."""
        entry = entry_of(
            request,
            versions,
            tier=found.tier,
            provider=found.provider,
            model=found.model,
            slot=None,
            held=0,
            max_tokens=request.max_tokens,
            now_ms=self._ledger.now_ms(),
        )
        await asyncio.wrap_future(self._ledger.record_cached(entry, began_ms=request.began_ms))

    async def find_all(self, keys: Collection[str]) -> dict[str, CachedAnswer]:
        """Return the answers that are stored under these keys."""
        values = await self._try("batch_get_cache", list(keys)) if keys else {}
        # LiteLLM's store in memory returns a list.
        pairs = values.items() if isinstance(values, Mapping) else zip(keys, values or (), strict=False)
        answers = ((key, self._read(value)) for key, value in pairs if value is not None)
        return {key: answer for key, answer in answers if answer is not None}

    async def store_all(self, request: Request, answers: Mapping[str, CachedAnswer]) -> None:
        """Store the answers to a request under their keys."""
        if not answers:
            return
        values = [(key, _ANSWER.dump_json(answer).decode()) for key, answer in answers.items()]
        await self._try("set_cache_pipeline", values, ttl=self._settings.ttl, **self._owner(request))

    def _owner(self, request: Request) -> dict[str, Any]:
        """Return whose answer it is: only in the database it can be found by that, to be erased."""
        if not isinstance(self._store, StoredAnswers):
            return {}
        return {"user": request.user_id or "", "began_ms": request.began_ms}

    async def aclose(self) -> None:
        """Close the connections, if there are any."""
        if self._store is not None:
            await self._store.disconnect()

    async def _find(self, key: str) -> CachedAnswer | None:
        value = await self._try("get_cache", key)
        return None if value is None else self._read(value)

    def _read(self, value: Any) -> CachedAnswer | None:
        try:  # what LiteLLM's stores give is the JSON text, or what is in it
            return _ANSWER.validate_json(value) if isinstance(value, str) else _ANSWER.validate_python(value)
        except ValidationError:  # its words would show the answer
            self._warn("the value kept is no answer")
            return None

    async def _try(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Do the operation unless the store is paused; if it fails, log it and pause the store."""
        if self._timer() < self._paused_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await getattr(self._store, f"async_{operation}")(*args, **kwargs)
        except Exception as error:  # stores raise different errors, and none may reach the call
            self.failed(error)
            return None

    def failed(self, error: str | Exception) -> None:
        """Pause the cache for a minute."""
        self._paused_until = self._timer() + PAUSE_S
        self._warn(str(error) or type(error).__name__)

    def _warn(self, reason: str) -> None:
        if self._timer() >= self._silent_until:
            self._silent_until = self._timer() + PAUSE_S
            log.warning("engine.cache.failed", store=type(self._store).__name__, reason=reason)


def _digest(attachment: Attachment) -> str:
    return hashlib.sha256(attachment.data).hexdigest()


class _Watched(ServiceLogging):  # type: ignore[misc]  # untyped base
    """LiteLLM's Redis store treats a failure as a missing key, and reports it only here."""

    failed: Callable[[str | Exception], None]

    async def async_service_success_hook(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    async def async_service_failure_hook(self, *_: Any, error: str | Exception, **__: Any) -> None:
        """Tell the cache."""
        self.failed(error)


def build(config: Config, ledger: Ledger, keys: KeySource, timer: Callable[[], float]) -> AnswerCache:
    """Return the cache that the configuration asks for; not to be called on an event loop.

    Args:
        keys: give what answers in the database are sealed with.
    """
    watched, store = _Watched(), None
    try:
        store = _store(config, ledger, keys, watched)
    except Exception as error:  # no master key, a wrong address: better no cache than no answers
        log.warning("engine.cache.failed", store=config.cache.type, reason=str(error))
    cache = AnswerCache(store, ledger, timer)
    watched.failed = cache.failed
    return cache


def _store(config: Config, ledger: Ledger, keys: KeySource, watched: _Watched) -> Any:
    kind = config.cache.type
    if kind == "memory":
        return InMemoryCache(max_size_in_memory=_MOST_IN_MEMORY)
    if kind == "disk":
        keys.answer_cipher()  # no cache without a master key
        return StoredAnswers(ledger.store, keys.answer_cipher)
    if kind == "redis":
        return RedisCache(url=config.redis, socket_timeout=PATIENCE_S, service_logger_obj=watched)
    return None
