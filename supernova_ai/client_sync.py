"""The client without async: the methods of ``Supernova``, each blocking until its result is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, TypeVar, Unpack

from supernova_ai.alerts.outbox import AlertEvent
from supernova_ai.blocking import BlockingLoop, run_blocking
from supernova_ai.client import Supernova
from supernova_ai.concurrency import spawn
from supernova_ai.config import Config
from supernova_ai.default_client import analyze, chat, embed, feedback, rerank, run_tools, stream
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys import MasterKey
from supernova_ai.requests.options import StreamOptions
from supernova_ai.requests.structured import ResponseModel
from supernova_ai.streams import Stream
from supernova_ai.types import Reply, T

P = ParamSpec("P")
R = TypeVar("R")


class StreamSync(Generic[T]):
    """The text of an answer, token by token. After the end, ``reply`` is the finished answer.

    Use it in a ``with`` block, or only iterate. Leaving the block early ends the provider call, and so does
    dropping the stream; the text received is paid for.

    Args:
        stream: the same stream for async callers, not yet opened.
    """

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream
        self._loop = BlockingLoop()
        self._pid: int | None = None  # of the process that opened it
        self._ended = False
        self._closed = False

    @property
    def partial(self) -> Any:
        """What a structured answer has so far; see ``Stream.partial``."""
        return self._stream.partial

    @property
    def reply(self) -> Reply[T]:
        """The finished answer.

        Raises:
            InvalidRequest: the stream was not read to its end.
        """
        return self._stream.reply

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        self._run(self._stream.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._ended:
            raise StopIteration
        if self._pid is None:
            self.__enter__()
        try:
            return self._run(self._stream.__anext__)
        except StopAsyncIteration:
            self._ended = True
            raise StopIteration from None

    def close(self) -> None:
        """End the provider call if it is running. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            try:
                self._loop.run(self._stream.aclose)
            finally:
                self._loop.close()

    def __del__(self) -> None:
        # On another thread: this one may be the engine's, which closing waits for.
        if self._pid == os.getpid() and not self._closed and not sys.is_finalizing():
            spawn("supernova-sync", self.close)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StreamSync cannot be pickled or copied: copy its reply instead")

    def _run(self, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
        if self._closed:
            raise InvalidRequest("the stream is closed: call stream(…) for another")
        try:
            return self._loop.run(call)
        except BaseException:
            self.close()
            raise


def _blocking(
    method: Callable[Concatenate[Supernova, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[SupernovaSync, P], R]:
    """Return an async method without async."""

    @wraps(method)
    def call(self: SupernovaSync, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return run_blocking(lambda: method(self.nova, *args, **kwargs))

    return call


def _same(method: Callable[Concatenate[Supernova, P], R]) -> Callable[Concatenate[SupernovaSync, P], R]:
    """Return a method that is not async."""

    @wraps(method)
    def call(self: SupernovaSync, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return method(self.nova, *args, **kwargs)

    return call


class SupernovaSync:
    """A client without async over one configuration. Use it as a context manager, or ``close`` it.

    Its methods are those of ``Supernova``, with the same arguments and errors. They may be called from any
    thread, also where an event loop is running: that loop stands still until the call ends.

    Args:
        config, master, alert_sinks, watch, preload: as those of ``Supernova``.

    Raises:
        ConfigError: the configuration is wrong; the message lists every problem.
    """

    def __init__(
        self,
        config: Config | str | Path | None = None,
        *,
        master: MasterKey | None = None,
        alert_sinks: Sequence[Callable[[AlertEvent], object]] = (),
        watch: bool = False,
        preload: bool = True,
    ) -> None:
        self.nova = Supernova(config, master=master, alert_sinks=alert_sinks, watch=watch, preload=preload)
        """The client for async callers: both share everything."""

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.nova.config

    @property
    def config_version(self) -> str:
        """The hash of the configuration, which is recorded with every attempt."""
        return self.nova.config_version

    analyze = _blocking(Supernova.analyze)
    ask = _blocking(Supernova.ask)
    chat = _blocking(Supernova.chat)
    embed = _blocking(Supernova.embed)
    feedback = _blocking(Supernova.feedback)
    forget = _blocking(Supernova.forget)
    probe = _blocking(Supernova.probe)
    quote = _blocking(Supernova.quote)
    reload = _blocking(Supernova.reload)
    rerank = _blocking(Supernova.rerank)
    run_tools = _blocking(Supernova.run_tools)
    warm_up = _blocking(Supernova.warm_up)

    apply_edits = _same(Supernova.apply_edits)
    close = _same(Supernova.close)
    store = _same(Supernova.store)
    template = _same(Supernova.template)
    vault = _same(Supernova.vault)
    watch = _same(Supernova.watch)

    def stream(
        self,
        message: str | None = None,
        *,
        response_model: ResponseModel[T] | None = None,
        **options: Unpack[StreamOptions],
    ) -> StreamSync[T]:
        """Return the answer as a stream to iterate; arguments and errors as those of ``Supernova.stream``."""
        return StreamSync(self.nova.stream(message, response_model=response_model, **options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        self.nova.__reduce__()


def _without_async(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Return a function of the default client without async."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return run_blocking(lambda: function(*args, **kwargs))

    call.__name__ = call.__qualname__ = f"{function.__name__}_sync"
    call.__module__ = __name__  # where pickle finds it
    return call


analyze_sync = _without_async(analyze)
chat_sync = _without_async(chat)
embed_sync = _without_async(embed)
feedback_sync = _without_async(feedback)
rerank_sync = _without_async(rerank)
run_tools_sync = _without_async(run_tools)


def stream_sync(
    message: str | None = None,
    *,
    response_model: ResponseModel[T] | None = None,
    **options: Unpack[StreamOptions],
) -> StreamSync[T]:
    """Stream an answer with the default client, without async; see ``StreamSync``."""
    return StreamSync(stream(message, response_model=response_model, **options))
