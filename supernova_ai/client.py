"""The client: ``chat``, ``stream`` and ``analyze``, and the wiring of the floors below."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from supernova_ai import config as configuration
from supernova_ai import health, prompts
from supernova_ai.complexity import TIER_OF, estimate
from supernova_ai.config import Budget, Config, Loaded
from supernova_ai.errors import ConfigError, InvalidRequest, NoProvider
from supernova_ai.keys import KeySource, MasterKey, Vault, resolve
from supernova_ai.ledger import AlertEvent, Courier, Ledger
from supernova_ai.log import get_logger
from supernova_ai.money import decimal
from supernova_ai.store import Store
from supernova_ai.types import PROBE, TIERS, Complexity, OnInterrupt, Probe, Quote, Reply, Request, Tier

if TYPE_CHECKING:
    from supernova_ai.engine import Engine

log = get_logger(__name__)

OnToken = Callable[[str], object]

MOST_TOKENS = 1_000_000
"""More completion tokens than any model gives; asking for more is a mistake."""


_REMEMBERED_MS = 3_600_000
"""How old the attempts may be that a new client learns from."""

_FIXED = ("database", "redis", "keys", "environment")
"""What belongs to a client for as long as it lives."""


class Supernova:
    """A client over one configuration. Use it as an async context manager, or ``close`` it.

    Its methods may be called from any event loop and any thread. Nothing is opened before the first call.

    Args:
        config: a ``Config``, or the path of a YAML file; None looks for one as the documentation says.
        master: what the keys are sealed with; None looks for it as the documentation says.
        alert_sinks: called, on a thread of their own, with each alert that this process delivers.

    Raises:
        ConfigError: the configuration is wrong; the message lists every problem.
    """

    def __init__(
        self,
        config: Config | str | Path | None = None,
        *,
        master: MasterKey | None = None,
        alert_sinks: Sequence[Callable[[AlertEvent], object]] = (),
    ) -> None:
        self._source = config
        self._master = master
        self._alert_sinks = tuple(alert_sinks)
        self._loaded = _load(config)
        self._lock = threading.Lock()
        self._opened: ExitStack | None = None
        self._pid = 0
        self._engine: Engine
        self._ledger: Ledger
        self._courier: Courier

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    async def chat(
        self,
        message: str,
        *,
        user_id: str | int | None = None,
        streaming: bool | None = None,
        on_token: OnToken | None = None,
        task: str = "chat",
        **options: Any,
    ) -> Reply:
        """Answer a message.

        Args:
            message: what to answer; not empty.
            user_id: whose budget and history it counts to.
            streaming: let the answer come token by token; None takes it from the configuration.
            on_token: called with each piece of text as it comes; implies ``streaming``.
            task: chat, analysis, summary or one of your own; it decides the tier unless an option does.
            **options: tier (economy, standard or premium; also called quality), complexity (simple, moderate,
                complex, critical, or auto for an estimate; instead of a tier), session_id, max_tokens,
                temperature, timeout (seconds, for everything), max_cost (USD, for everything), model (one
                configured model and no other), cache (False: no answer that was kept from before),
                on_interrupt (resume or raise, when a stream breaks), metadata.

        Raises:
            InvalidRequest: an argument is wrong; nothing was sent.
            BudgetExceeded: no deployment can be borne; nothing was sent.
            ProviderError: every deployment failed; the last one's reason.
        """
        request = self._request("chat", {"message": message}, task=task, user_id=user_id, **options)
        return await self._answer(request, streaming, on_token)

    async def analyze(
        self,
        content: str,
        *,
        analysis_type: str = "financial",
        user_id: str | int | None = None,
        streaming: bool | None = None,
        on_token: OnToken | None = None,
        **options: Any,
    ) -> Reply:
        """Analyse a text: financial, sentiment, news, risk or summary. Otherwise as ``chat``.

        The text is treated as material, never as instructions.
        """
        prompt = f"analysis-{analysis_type}"
        if prompt not in prompts.names():
            known = ", ".join(name.removeprefix("analysis-") for name in prompts.names() if "-" in name)
            raise InvalidRequest(f"analysis_type {analysis_type!r} is not known; choose one of: {known}")
        request = self._request(prompt, {"content": content}, user_id=user_id, **options)
        return await self._answer(request, streaming, on_token)

    def stream(
        self, message: str, *, user_id: str | int | None = None, task: str = "chat", **options: Any
    ) -> Stream:
        """Return the answer as a stream: ``async with`` it, ``async for`` its text. Otherwise as ``chat``."""
        request = self._request("chat", {"message": message}, task=task, user_id=user_id, **options)
        return Stream(self, request)

    async def quote(
        self, message: str, *, user_id: str | int | None = None, task: str = "chat", **options: Any
    ) -> Quote:
        """Return what ``chat`` with these arguments could cost at most, and what the budgets still bear."""
        request = self._request("chat", {"message": message}, task=task, user_id=user_id, **options)
        engine = await self._ready()
        return await asyncio.to_thread(engine.quote, request)

    async def warm_up(self) -> None:
        """Open everything now, LiteLLM's import of some seconds included, and not at the first call."""
        await self._ready()

    async def reload(self, config: Config | str | Path | None = None) -> None:
        """Take the configuration anew, from where it came or as given; calls under way finish as begun.

        A wrong one changes nothing.

        Raises:
            ConfigError: it is wrong, or changes what only a new client can take.
        """
        await asyncio.to_thread(self._reload, config)

    async def probe(self, *, pay: bool = False) -> list[Probe]:
        """Ask every provider whether it is well, once with each key, and keep what they say.

        Args:
            pay: send a request for one token where a provider has nothing that is free.
        """
        engine = await self._ready()
        return await engine.run(engine.probe(pay=pay))

    def close(self) -> None:
        """End what is under way, each hold honestly, and release everything. Calling again does nothing."""
        with self._lock:
            if not self._is_open():
                return
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    async def __aenter__(self) -> Supernova:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    async def _answer(self, request: Request, streaming: bool | None, on_token: OnToken | None) -> Reply:
        if streaming is None:
            streaming = self.config.streaming
        if not (streaming or on_token):
            engine = await self._ready()
            return await engine.complete(request)
        async with Stream(self, request) as tokens:
            async for token in tokens:
                if on_token is not None:
                    on_token(token)
        return tokens.reply

    async def _ready(self) -> Engine:
        if not self.config.enabled:
            raise NoProvider("LLM calls are switched off: set 'enabled: true', or LLM_ENABLED=true")
        if not self._is_open():
            await asyncio.to_thread(self._open)
        return self._engine

    def _is_open(self) -> bool:
        return self._opened is not None and self._pid == os.getpid()

    def _open(self) -> None:
        from supernova_ai.engine import Engine  # imports LiteLLM: seconds, so not before it is needed

        with self._lock:
            if self._is_open():
                return
            with ExitStack() as opening:
                store = opening.enter_context(Store(self._loaded.database))
                vault = self._vault(store)
                self._new_courier = partial(
                    Courier,
                    store,
                    resolve=lambda name: vault.reveal(name, "primary"),
                    sinks=self._alert_sinks,
                )
                self._courier = self._new_courier(self.config.budgets, self.config.alerts)
                opening.callback(lambda: self._courier.close())
                self._ledger = Ledger(store, ())
                opening.callback(self._ledger.close)
                self._keep_limits(self.config)
                self._ledger.sweep()
                self._engine = Engine(self.config, self._loaded.version, self._ledger, self._keys(vault))
                opening.callback(self._engine.close)
                since_ms = self._ledger.now_ms() - _REMEMBERED_MS
                self._engine.recall(
                    store.read(lambda database: health.recent(database, since_ms=since_ms, limit=2000)),
                    store.read(health.states),
                )
                self._courier.start()
                # What a fork brought along stays referenced: collecting it would close the parent's polling.
                self._inherited = self._opened
                self._opened = opening.pop_all()
                self._pid = os.getpid()

    def _vault(self, store: Store) -> Vault:
        environ = configuration.read_environ()
        vault = Vault(store, lambda: resolve(store, explicit=self._master, environ=environ))
        if any(key.state == "active" for key in vault.list()):
            vault.unlock()  # here, on a thread that may wait for the keyring
        return vault

    def _keep_limits(self, config: Config) -> None:
        budgets = list(config.budgets)
        if config.health.probes == "paid":
            budgets.append(Budget(name=PROBE, limit=config.health.paid_limit, per="day", task=PROBE))
        self._ledger.serve(budgets, thresholds=config.alerts.thresholds, on_alert=self._courier.wake)

    def _reload(self, given: Config | str | Path | None) -> None:
        with self._lock:
            source = self._source if given is None else given
            loaded = _load(source)
            fixed = [n for n in _FIXED if getattr(loaded.config, n) != getattr(self.config, n)]
            if fixed:
                raise ConfigError(f"{', '.join(fixed)} cannot change while a client runs: make a new one")
            if self._is_open():
                self._engine.reload(loaded.config, loaded.version)
                before = self._courier
                self._courier = self._new_courier(loaded.config.budgets, loaded.config.alerts)
                self._keep_limits(loaded.config)
                self._courier.start()
                before.close()
            self._source, self._loaded = source, loaded

    def _keys(self, vault: Vault) -> KeySource:
        return KeySource(
            vault,
            environ=configuration.read_environ(),
            allow_environment=self.config.environment_keys_allowed,
            environment_name=self.config.environment,
        )

    def _request(
        self,
        prompt: str,
        values: Mapping[str, str],
        *,
        task: str | None = None,
        user_id: str | int | None = None,
        tier: Tier | None = None,
        quality: Tier | None = None,
        complexity: Complexity | None = None,
        session_id: str | int | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
        max_cost: Decimal | float | str | None = None,
        on_interrupt: OnInterrupt | None = None,
        model: str | None = None,
        cache: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Request:
        """Check every argument and make the frozen request."""
        for name, value in values.items():
            if not isinstance(value, str) or not value.strip():
                raise InvalidRequest(f"{name} must be a text that is not empty, not {value!r:.60}")
            _check_text(name, value)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise InvalidRequest(f"metadata must be a mapping of names to texts, not {metadata!r:.60}")
        template = prompts.get(prompt)
        task = task or template.task
        tasks = self.config.routing.tasks
        if task not in tuple(tasks):
            raise InvalidRequest(
                f"task {task!r} is not configured; choose one of: {', '.join(tasks)}, "
                f"or add it under 'routing.tasks'"
            )
        if not isinstance(cache, bool):
            raise InvalidRequest(f"cache must be True or False, not {cache!r:.60}")
        tier = _one_tier(tier, quality, complexity)
        reason = "asked for"
        if complexity is not None:
            tier, reason = _tier_for(complexity, "\n".join(values.values()))
        elif tier is None:
            tier, reason = tasks[task], f"task {task!r}"
        return Request(
            id=uuid.uuid4().hex,
            messages=template.render(values),
            tier=tier,
            task=task,
            max_tokens=_whole("max_tokens", max_tokens, self.config.routing.max_tokens, MOST_TOKENS),
            user_id=_id("user_id", user_id),
            session_id=_id("session_id", session_id),
            temperature=_within("temperature", temperature, 0, 2),
            timeout=_within("timeout", timeout, 0.001, 86_400) or self.config.routing.deadline,
            max_cost=_usd("max_cost", max_cost),
            on_interrupt=_one_of("on_interrupt", on_interrupt, self.config.routing.on_interrupt),
            model=model,
            metadata=dict(metadata or {}),
            prompt_name=template.name,
            prompt_hash=template.hash,
            tier_reason=reason,
            may_degrade=complexity != "critical",
            cache=cache,
        )


class Stream:
    """An answer as it comes. After the end, ``reply`` is the finished answer.

    Leaving early ends the provider call, and charges what was received.
    """

    def __init__(self, client: Supernova, request: Request) -> None:
        self._client = client
        self._request = request
        self._source: AsyncGenerator[str | Reply, None] | None = None
        self._turn = asyncio.Lock()  # used on the engine's loop, where a cancelled step takes a while to end
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The finished answer.

        Raises:
            InvalidRequest: the stream has not come to its end.
        """
        if self._reply is None:
            raise InvalidRequest("the stream has no reply before its end; read it to the end first")
        return self._reply

    async def __aenter__(self) -> Stream:
        self._engine = await self._client._ready()
        self._source = self._engine.stream(self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the provider call if it is still going. Calling again does nothing."""
        if self._source is not None:
            source, self._source = self._source, None
            with suppress(NoProvider):  # the client was closed, and that ended it
                await self._engine.run(_close(source, self._turn))

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> str:
        if self._source is None:
            if self._reply is not None:
                raise StopAsyncIteration
            raise InvalidRequest("open the stream first: async with stream(…) as s")
        piece = await self._engine.run(_next(self._source, self._turn))
        if isinstance(piece, Reply):
            self._reply = piece
            await self.aclose()
            raise StopAsyncIteration
        return piece


async def _next(source: AsyncGenerator[str | Reply, None], turn: asyncio.Lock) -> str | Reply:
    async with turn:
        return await anext(source)


async def _close(source: AsyncGenerator[str | Reply, None], turn: asyncio.Lock) -> None:
    async with turn:
        await source.aclose()


def _load(source: Config | str | Path | None) -> Loaded:
    return Loaded.of(source) if isinstance(source, Config) else configuration.load(source)


def _check_text(name: str, value: str) -> None:
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidRequest(f"{name} holds half a character (a lone surrogate) and cannot be sent as text")


def _id(name: str, value: str | int | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be a text or a whole number, not {value!r:.60}")
    _check_text(name, str(value))
    return str(value)


def _one_tier(tier: Tier | None, quality: Tier | None, complexity: Complexity | None) -> Tier | None:
    """Return the tier that was asked for by either of its names, None if a task or a complexity decides."""
    for name, value in (("tier", tier), ("quality", quality)):
        if value is not None and value not in TIERS:
            raise InvalidRequest(f"{name} {value!r} is not known; choose one of: {', '.join(TIERS)}")
    if tier and quality and tier != quality:
        raise InvalidRequest(f"tier {tier!r} and quality {quality!r} are two names of one thing; give one")
    asked = tier or quality
    if asked and complexity is not None:
        raise InvalidRequest(
            f"complexity {complexity!r} would choose the tier, and {asked!r} is given; give one"
        )
    return asked


def _tier_for(complexity: Complexity, text: str) -> tuple[Tier, str]:
    """Return the tier for so hard a question, and why it is that."""
    if complexity == "auto":
        found = estimate(text)
        return TIER_OF[found.complexity], f"complexity auto: {found.complexity} ({found.why})"
    if complexity not in tuple(TIER_OF):
        known = ", ".join((*TIER_OF, "auto"))
        raise InvalidRequest(f"complexity {complexity!r} is not known; choose one of: {known}")
    return TIER_OF[complexity], f"complexity: {complexity}"


def _one_of(name: str, value: OnInterrupt | None, default: OnInterrupt) -> OnInterrupt:
    known = get_args(OnInterrupt)
    if value is not None and value not in known:
        raise InvalidRequest(f"{name} {value!r:.60} is not known; choose one of: {', '.join(known)}")
    return value or default


def _whole(name: str, value: int | None, default: int, most: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be a whole number from 1 to {most}, not {value!r}")
    return value


def _within(name: str, value: float | None, least: float, most: float) -> float | None:
    if value is not None and not (
        isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    ):
        raise InvalidRequest(f"{name} must be a number from {least:g} to {most:g}, not {value!r}")
    return value


def _usd(name: str, value: Decimal | float | str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        usd = decimal(value)
    except ValueError as error:
        raise InvalidRequest(f"{name} must be an amount of USD: {error}") from None
    if usd <= 0:
        raise InvalidRequest(f"{name} must be more than 0 USD, not {value!r}")
    return usd


_default: Supernova | None = None
_default_lock = threading.Lock()


def default() -> Supernova:
    """Return the client behind the module-level functions, made at their first use."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Supernova()
            atexit.register(_default.close)
        return _default


async def chat(message: str, **options: Any) -> Reply:
    """Answer a message with the default client; see ``Supernova.chat``."""
    return await default().chat(message, **options)


async def analyze(content: str, **options: Any) -> Reply:
    """Analyse a text with the default client; see ``Supernova.analyze``."""
    return await default().analyze(content, **options)


def stream(message: str, **options: Any) -> Stream:
    """Stream an answer with the default client; see ``Supernova.stream``."""
    return default().stream(message, **options)
