"""The client: ``chat``, ``stream`` and ``analyze``, and the wiring of the floors below."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from supernova_ai import config as configuration
from supernova_ai import health
from supernova_ai.alerts.delivery import AlertDelivery
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.analysis.sentiment import assessed
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError, InvalidRequest, NoProvider, ProviderTimeout, UnsupportedLoop
from supernova_ai.keys import KeySource, MasterKey, Vault, resolve
from supernova_ai.ledger import Ledger
from supernova_ai.log import get_logger
from supernova_ai.prompts import Library, Template
from supernova_ai.requests import arguments
from supernova_ai.requests.attachments import AttachmentSource, load
from supernova_ai.requests.options import (
    AnalyzeOptions,
    ChatOptions,
    RequestOptions,
    StreamOptions,
    check_names,
)
from supernova_ai.sessions import Conversations, SessionKey, Turn, forget
from supernova_ai.store import Store
from supernova_ai.streams import Stream
from supernova_ai.types import Attachment, Probe, Quote, Reply, Request

if TYPE_CHECKING:
    from supernova_ai.execution.engine import Engine

log = get_logger(__name__)

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
        self._library = Library(self._loaded.prompts)
        for problem in self._library.problems():
            log.warning("prompts.file.wrong", problem=problem, then="calls that use it fail")
        self._lock = threading.Lock()
        self._opened: ExitStack | None = None
        self._store: Store | None = None
        self._pid = 0
        self._engine: Engine
        self._sessions: Conversations
        self._ledger: Ledger
        self._courier: AlertDelivery
        self._keys: KeySource

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    @property
    def config_version(self) -> str:
        """The name of the configuration's content, as it is kept with every attempt."""
        return self._loaded.version

    async def chat(self, message: str, **options: Unpack[ChatOptions]) -> Reply:
        """Answer a message.

        Args:
            message: what to answer; not empty.
            **options: see ``ChatOptions``.

        Raises:
            InvalidRequest: an argument is wrong; nothing was sent.
            BudgetExceeded: no deployment can be borne; nothing was sent.
            ProviderError: every deployment failed; the last one's reason.
        """
        check_names("chat", options, ChatOptions)
        return await self._answer(self._message_turn(message, options), options)

    async def analyze(self, content: str, **options: Unpack[AnalyzeOptions]) -> Reply:
        """Analyse a text, which is treated as material, never as instructions.

        The reply has a ``quality_score``, and that of a sentiment analysis the ``sentiment``.

        Args:
            content: the text; not empty.
            **options: see ``AnalyzeOptions``.

        Raises:
            As ``chat``.
        """
        check_names("analyze", options, AnalyzeOptions)
        analysis_type = options.get("analysis_type", "financial")
        prompt = f"analysis-{analysis_type}"
        names = self._library.names()
        if prompt not in names:
            kinds = (name.partition("analysis-")[2] for name in names)
            known = ", ".join(kind for kind in kinds if kind)
            raise InvalidRequest(f"analysis_type {analysis_type!r} is not known; choose one of: {known}")
        request = self._request(prompt, {"content": content}, options)
        turn = self._turn(request, attachments=options.get("attachments", ()))
        reply = await self._answer(turn, options)
        return assessed(
            reply, self._library.get(prompt).contract.sections, sentiment=analysis_type == "sentiment"
        )

    async def ask(self, prompt: str, values: Mapping[str, Any], **options: Unpack[RequestOptions]) -> Reply:
        """Answer a prompt of the library, filled in with these values.

        Args:
            prompt: its name.
            values: its variables by name. None is the same as not given.
            **options: see ``RequestOptions``.

        Raises:
            As ``chat``.
        """
        check_names("ask", options, RequestOptions)
        given = {name: value for name, value in values.items() if value is not None}
        return await self._answer(self._turn(self._request(prompt, given, options)), {"streaming": False})

    def stream(self, message: str, **options: Unpack[StreamOptions]) -> Stream:
        """Return the answer as a stream: ``async with`` it, ``async for`` its text.

        Args:
            message: what to answer; not empty.
            **options: see ``StreamOptions``.

        Raises:
            InvalidRequest: an argument is wrong. What else ``chat`` raises, the stream raises.
        """
        check_names("stream", options, StreamOptions)
        return Stream(lambda: self._engine, self._message_turn(message, options))

    async def quote(self, message: str, **options: Unpack[StreamOptions]) -> Quote:
        """Return what ``chat`` with these arguments could cost at most, and what the budgets still bear.

        Args:
            message: what would be answered; not empty.
            **options: see ``StreamOptions``.

        Raises:
            InvalidRequest: an argument is wrong.
        """
        check_names("quote", options, StreamOptions)
        turn = self._message_turn(message, options, pay=False)
        engine = await self._ready()
        async with turn as taken:
            return await in_thread(engine.quote, taken.request)

    async def forget(self, session_id: str | int, *, user_id: str | int | None = None) -> int:
        """Delete what is kept of one user's session; return how many exchanges and summaries that was.

        A call that is running in the session is answered, and not kept.
        """
        check_loop()
        user, session = arguments.identity("user_id", user_id), arguments.identity("session_id", session_id)
        whose = SessionKey(user or "", session or "")
        store = await in_thread(self.store)
        return await asyncio.wrap_future(
            store.write(lambda database: forget(database, whose, now_ms=store.now_ms()))
        )

    def template(self, prompt: str) -> Template:
        """Return the prompt of that name, the user's own where there is one."""
        return self._library.get(prompt)

    def store(self) -> Store:
        """Return the open database, for records that need no model and so no LiteLLM.

        Raises:
            StoreError: it cannot be opened; the message says what to do.
        """
        with self._lock:
            return self._open_store()

    async def warm_up(self) -> None:
        """Open everything now, LiteLLM's import of some seconds included, and not at the first call."""
        await self._ready()

    async def reload(self, config: Config | str | Path | None = None) -> None:
        """Take the configuration anew, from where it came or as given; calls under way finish as begun.

        A wrong one changes nothing.

        Raises:
            ConfigError: it is wrong, or changes what only a new client can take.
        """
        check_loop()
        await in_thread(self._reload, config)

    async def probe(self, *, pay: bool = False) -> list[Probe]:
        """Ask every provider whether it is well, once with each key, and keep what they say.

        Args:
            pay: send a request for one token where a provider has nothing that is free.
        """
        engine = await self._ready()
        return await engine.run(engine.monitor.prober.probe(pay=pay))

    def close(self) -> None:
        """End what is under way, each hold honestly, and release everything. Calling again does nothing."""
        with self._lock:
            opened = self._opened if self._is_open() else None
            store, self._store = self._store, None
            if opened is not None:
                self._opened = None
        with ExitStack() as closing:  # whatever one of them raises, the other is closed
            for each in (store, opened):  # the last is the first
                if each is not None:
                    closing.callback(each.close)

    async def __aenter__(self) -> Supernova:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            check_loop()
        except UnsupportedLoop:
            self.close()  # every call was refused: what the body raised is what the caller must see
        else:
            await in_thread(self.close)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Supernova cannot be pickled or copied, for it holds connections and keys: give the other "
            "process its configuration, and make a client there"
        )

    def _message_turn(
        self, message: str, options: StreamOptions, *, pay: bool = True
    ) -> AbstractAsyncContextManager[Turn]:
        request = self._request("chat", {"message": message}, options)
        return self._turn(request, message, options.get("attachments", ()), pay=pay)

    async def _answer(self, taking: AbstractAsyncContextManager[Turn], options: ChatOptions) -> Reply:
        streaming, on_token = options.get("streaming"), options.get("on_token")
        if streaming is None:
            streaming = self.config.streaming
        if on_token is not None and not callable(on_token):
            raise InvalidRequest(f"on_token must be a function of one text, not {on_token!r:.60}")
        if not (streaming or on_token):
            async with taking as turn:
                reply = await self._engine.complete(turn.request)
                await turn.keep(reply)
                return reply
        async with Stream(lambda: self._engine, taking) as tokens:
            async for token in tokens:
                if on_token is not None and inspect.isawaitable(waiting := on_token(token)):
                    await waiting
        return tokens.reply

    @asynccontextmanager
    async def _turn(
        self,
        request: Request,
        message: str | None = None,
        attachments: Sequence[AttachmentSource] = (),
        *,
        pay: bool = True,
    ) -> AsyncIterator[Turn]:
        """Give the request with what is attached, and what was said before in its session if that is kept.

        The client is open then, and the time that this took is taken from the request's.
        """
        check_loop()
        started, was_open = time.monotonic(), self._is_open()
        loaded: tuple[Attachment, ...] = ()
        what = "opening the client, which warm_up() does beforehand,"
        try:
            async with asyncio.timeout(request.timeout):
                await self._ready()
                if attachments:
                    what = "reading the attachments"
                    loaded = await in_thread(load, attachments, self.config.attachments)
        except TimeoutError:
            raise ProviderTimeout(f"{what} took all of the {request.timeout:g} s") from None
        if request.timeout is not None and (attachments or not was_open):
            left = request.timeout - (time.monotonic() - started)
            request = replace(request, timeout=left, asked_timeout=request.timeout)
        request = replace(request, attachments=loaded, began_ms=self._ledger.now_ms())
        if message is None or request.session_id is None or not self.config.sessions.history:
            yield Turn(request)
            return
        # The caller's cap is on this request alone: no other is made for it.
        may_pay = pay and request.max_cost is None
        summary = self._library.get("summary")
        async with self._sessions.turn(request, message, self.config, summary, pay=may_pay) as turn:
            yield turn

    async def _ready(self) -> Engine:
        if not self.config.enabled:
            raise NoProvider("LLM calls are switched off: set 'enabled: true', or LLM_ENABLED=true")
        check_loop()
        if not self._is_open():
            await in_thread(self._open)
        return self._engine

    def _is_open(self) -> bool:
        return self._opened is not None and self._pid == os.getpid()

    def _open(self) -> None:
        from supernova_ai.execution.engine import (
            Engine,  # imports LiteLLM: seconds, so not before it is needed
        )

        with self._lock:
            if self._is_open():
                return
            with ExitStack() as opening:
                store = self._open_store()
                vault = self._vault(store)
                self._new_courier = partial(
                    AlertDelivery,
                    store,
                    resolve=lambda name: vault.reveal(name, "primary"),
                    sinks=self._alert_sinks,
                )
                self._courier = self._new_courier(
                    self.config.limits, self.config.alerts, verify_tls=self.config.verify_tls
                )
                opening.callback(lambda: self._courier.close())
                self._ledger = Ledger(store, ())
                opening.callback(self._ledger.close)
                self._keep_limits(self.config)
                self._ledger.sweep()
                self._keys = self._key_source(vault)
                self._engine = Engine(self.config, self._loaded.version, self._ledger, self._keys)
                opening.callback(self._engine.close)
                self._sessions = Conversations(store, vault, self._engine.complete)
                self._sessions.prune(self.config)
                since_ms = self._ledger.now_ms() - _REMEMBERED_MS
                self._engine.monitor.restore(
                    store.read(lambda database: health.recent(database, since_ms=since_ms, limit=2000)),
                    store.read(health.states),
                )
                self._courier.start()
                # What a fork brought along stays referenced: collecting it would close the parent's polling.
                self._inherited = self._opened
                self._opened = opening.pop_all()
                self._pid = os.getpid()

    def _open_store(self) -> Store:
        if self._store is None:
            self._store = Store(self._loaded.database)
        return self._store

    def _vault(self, store: Store) -> Vault:
        environ = configuration.read_environ()
        vault = Vault(store, lambda: resolve(store, explicit=self._master, environ=environ))
        if any(key.state == "active" for key in vault.list()):
            vault.unlock()  # here, on a thread that may wait for the keyring
        return vault

    def _keep_limits(self, config: Config) -> None:
        self._ledger.serve(config.limits, thresholds=config.alerts.thresholds, on_alert=self._courier.wake)

    def _reload(self, given: Config | str | Path | None) -> None:
        with self._lock:
            source = self._source if given is None else given
            loaded = _load(source)
            library = Library(loaded.prompts)
            library.check()
            fixed = [n for n in _FIXED if getattr(loaded.config, n) != getattr(self.config, n)]
            if fixed:
                raise ConfigError(f"{', '.join(fixed)} cannot change while a client runs: make a new one")
            if self._is_open():
                # Whatever can refuse the configuration comes first: after that, nothing fails half-way.
                courier = self._new_courier(
                    loaded.config.limits, loaded.config.alerts, verify_tls=loaded.config.verify_tls
                )
                self._keep_limits(loaded.config)  # before anybody new is asked
                try:
                    self._engine.reload(loaded.config, loaded.version)
                except Exception:
                    self._keep_limits(self.config)
                    raise
                before, self._courier = self._courier, courier
                self._keep_limits(loaded.config)  # and from now on wake this courier
                courier.start()
                before.close()
                self._keys.elsewhere = loaded.config.elsewhere
            self._source, self._loaded, self._library = source, loaded, library

    def _key_source(self, vault: Vault) -> KeySource:
        return KeySource(
            vault,
            environ=configuration.read_environ(),
            allow_environment=self.config.environment_keys_allowed,
            environment_name=self.config.environment,
            elsewhere=self.config.elsewhere,
        )

    def _request(self, prompt: str, values: Mapping[str, Any], options: RequestOptions) -> Request:
        return arguments.build(self.config.routing, self._library.get(prompt), values, options)


def _load(source: Config | str | Path | None) -> Loaded:
    return Loaded.of(source) if isinstance(source, Config) else configuration.load(source)


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


async def chat(message: str, **options: Unpack[ChatOptions]) -> Reply:
    """Answer a message with the default client; see ``Supernova.chat``."""
    return await default().chat(message, **options)


async def analyze(content: str, **options: Unpack[AnalyzeOptions]) -> Reply:
    """Analyse a text with the default client; see ``Supernova.analyze``."""
    return await default().analyze(content, **options)


def stream(message: str, **options: Unpack[StreamOptions]) -> Stream:
    """Stream an answer with the default client; see ``Supernova.stream``."""
    return default().stream(message, **options)
