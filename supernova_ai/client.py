"""The client: ``chat``, ``stream``, ``analyze`` and what else a program calls."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

from supernova_ai import config as configuration
from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.analysis.sentiment import rate_reply
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.config import Config, Loaded
from supernova_ai.errors import ConfigError, InvalidRequest, NoProvider, ProviderTimeout, UnsupportedLoop
from supernova_ai.keys import MasterKey
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
from supernova_ai.sessions import PreparedRequest, SessionKey, forget
from supernova_ai.store import Store
from supernova_ai.streams import Stream
from supernova_ai.types import Attachment, Probe, Quote, Reply, Request

if TYPE_CHECKING:
    from supernova_ai.execution.engine import Engine
    from supernova_ai.runtime import Runtime

log = get_logger(__name__)

_FIXED = ("database", "redis", "keys", "environment")
"""Settings that a reload cannot change."""


class Supernova:
    """A client over one configuration. Use it as an async context manager, or ``close`` it.

    Its methods may be called from any event loop and any thread. Nothing is opened before the first call.

    Args:
        config: a ``Config``, or the path of a YAML file; None finds one (see docs/configuration.md).
        master: the master key of the vault; None finds it (see docs/keys.md).
        alert_sinks: called on a separate thread with each alert that this process delivers.

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
        self._store: Store | None = None
        self._runtime: Runtime
        self._pid = 0  # of the process whose runtime is open

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._loaded.config

    @property
    def config_version(self) -> str:
        """The hash of the configuration, which is recorded with every attempt."""
        return self._loaded.version

    async def chat(self, message: str, **options: Unpack[ChatOptions]) -> Reply:
        """Answer a message.

        Args:
            message: what to answer; not empty.
            **options: see ``ChatOptions``.

        Raises:
            InvalidRequest: an argument is wrong; nothing was sent.
            BudgetExceeded: no deployment fits into the budgets; nothing was sent.
            ProviderError: every deployment failed; the error is the last one's.
        """
        check_names("chat", options, ChatOptions)
        return await self._answer(self._message_turn(message, options), options)

    async def analyze(self, content: str, **options: Unpack[AnalyzeOptions]) -> Reply:
        """Analyse a text. It is data: instructions in it are not followed.

        The reply has a ``quality_score`` and, for a sentiment analysis, a ``sentiment``.

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
        return rate_reply(
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
            InvalidRequest: an argument is wrong. The stream raises what else ``chat`` raises.
        """
        check_names("stream", options, StreamOptions)
        return Stream(lambda: self._runtime.engine, self._message_turn(message, options))

    async def quote(self, message: str, **options: Unpack[StreamOptions]) -> Quote:
        """Return the most that ``chat`` with these arguments can cost, and what the budgets have left.

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
        """Delete the history of one user's session; return how many exchanges and summaries it had.

        A running call of the session is answered, and its answer is not kept.
        """
        check_loop()
        user, session = arguments.identity("user_id", user_id), arguments.identity("session_id", session_id)
        whose = SessionKey(user or "", session or "")
        store = await in_thread(self.store)
        return await asyncio.wrap_future(
            store.write(lambda database: forget(database, whose, now_ms=store.now_ms()))
        )

    def template(self, prompt: str) -> Template:
        """Return the prompt of that name; the user's own templates take precedence."""
        return self._library.get(prompt)

    def store(self) -> Store:
        """Return the open database, for records that need neither a model nor LiteLLM.

        Raises:
            StoreError: it cannot be opened; the message says what to do.
        """
        with self._lock:
            return self._open_store()

    async def warm_up(self) -> None:
        """Open everything now instead of at the first call; importing LiteLLM takes some seconds."""
        await self._ready()

    async def reload(self, config: Config | str | Path | None = None) -> None:
        """Apply the configuration again from its source, or this one; running calls keep the one before.

        A wrong configuration changes nothing.

        Raises:
            ConfigError: it is wrong, or changes a setting that needs a new client.
        """
        check_loop()
        await in_thread(self._reload, config)

    async def probe(self, *, pay: bool = False) -> list[Probe]:
        """Probe every provider, once per key, and record the results.

        Args:
            pay: request one token where a provider has no free endpoint.
        """
        engine = await self._ready()
        return await engine.run(engine.monitor.prober.probe(pay=pay))

    def close(self) -> None:
        """Cancel running calls, settle their holds and close. Closing twice does nothing."""
        with self._lock:
            runtime = self._runtime if self._is_open() else None
            store, self._store = self._store, None
            self._pid = 0
        with ExitStack() as closing:  # if the runtime's closing raises, the store closes all the same
            for part in (store, runtime):
                if part is not None:
                    closing.callback(part.close)

    async def __aenter__(self) -> Supernova:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            check_loop()
        except UnsupportedLoop:
            self.close()  # every call was refused: the caller must see what the body raised
        else:
            await in_thread(self.close)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Supernova cannot be pickled or copied, because it holds connections and keys: pass its "
            "configuration to the other process, and make a client there"
        )

    def _message_turn(
        self, message: str, options: StreamOptions, *, pay: bool = True
    ) -> AbstractAsyncContextManager[PreparedRequest]:
        request = self._request("chat", {"message": message}, options)
        return self._turn(request, message, options.get("attachments", ()), pay=pay)

    async def _answer(
        self, taking: AbstractAsyncContextManager[PreparedRequest], options: ChatOptions
    ) -> Reply:
        streaming, on_token = options.get("streaming"), options.get("on_token")
        if streaming is None:
            streaming = self.config.streaming
        if on_token is not None and not callable(on_token):
            raise InvalidRequest(f"on_token must be a function of one text, not {on_token!r:.60}")
        if not (streaming or on_token):
            async with taking as turn:
                reply = await self._runtime.engine.complete(turn.request)
                await turn.save(reply)
                return reply
        async with Stream(lambda: self._runtime.engine, taking) as tokens:
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
    ) -> AsyncIterator[PreparedRequest]:
        """Yield the request with its attachments and, if sessions are kept, the history of its session.

        This opens the client, and takes the time that it needs from the request's timeout.
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
        request = replace(request, attachments=loaded, began_ms=self._runtime.ledger.now_ms())
        if message is None or request.session_id is None or not self.config.sessions.history:
            yield PreparedRequest(request)
            return
        # ``max_cost`` limits this request alone: no second request is paid for a summary.
        may_pay = pay and request.max_cost is None
        summary = self._library.get("summary")
        async with self._runtime.conversations.prepare(
            request, message, self.config, summary, pay=may_pay
        ) as turn:
            yield turn

    async def _ready(self) -> Engine:
        if not self.config.enabled:
            raise NoProvider("LLM calls are switched off: set 'enabled: true', or LLM_ENABLED=true")
        check_loop()
        if not self._is_open():
            await in_thread(self._open)
        return self._runtime.engine

    def _is_open(self) -> bool:
        return self._pid == os.getpid()

    def _open(self) -> None:
        from supernova_ai.runtime import Runtime  # imports LiteLLM: seconds, so not before it is needed

        with self._lock:
            if self._is_open():
                return
            runtime = Runtime(
                self._open_store(), self._loaded, master=self._master, alert_sinks=self._alert_sinks
            )
            # A runtime inherited by a fork stays referenced: collecting it would close the parent's polling.
            self._inherited = getattr(self, "_runtime", None)
            self._runtime, self._pid = runtime, os.getpid()

    def _open_store(self) -> Store:
        if self._store is None:
            self._store = Store(self._loaded.database)
        return self._store

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
                self._runtime.apply(loaded)
            self._source, self._loaded, self._library = source, loaded, library

    def _request(self, prompt: str, values: Mapping[str, Any], options: RequestOptions) -> Request:
        return arguments.build_request(self.config.routing, self._library.get(prompt), values, options)


def _load(source: Config | str | Path | None) -> Loaded:
    return Loaded.of(source) if isinstance(source, Config) else configuration.load(source)


_default: Supernova | None = None
_default_lock = threading.Lock()


def default() -> Supernova:
    """Return the default client of the module-level functions; the first use creates it."""
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
