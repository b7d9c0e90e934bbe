"""Conversations: add the session's history to a request, summarise what is too long, and store the answer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from peewee import Database

from supernova_ai.concurrency import in_thread
from supernova_ai.config import Config
from supernova_ai.errors import MasterKeyError, ProviderTimeout, SupernovaError
from supernova_ai.keys import Vault
from supernova_ai.keys.crypto import Random
from supernova_ai.log import get_logger, in_request
from supernova_ai.prompts import Template
from supernova_ai.requests import arguments
from supernova_ai.requests.messages import leading
from supernova_ai.sessions import history
from supernova_ai.sessions.history import Exchange, ExchangeCipher, SessionKey
from supernova_ai.sessions.queue import TurnQueue
from supernova_ai.store import Store
from supernova_ai.store.engines import snapshot
from supernova_ai.types import Reply, Request

log = get_logger(__name__)

_DAY_MS = 86_400_000
_SAVE_TIMEOUT_S = 3.0
"""Seconds that an answer waits for its exchange to be stored."""

Complete = Callable[[Request], Awaitable[Reply]]


async def _discard(_: Reply) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request with the history of its session; ``save`` stores its answer."""

    request: Request
    save: Callable[[Reply], Awaitable[None]] = _discard


class Conversations:
    """The conversations of one store. Calls in the same session run one at a time, within this process.

    Args:
        complete: sends a request, for summaries.
        timer: returns monotonic seconds.
        random: returns the given number of unpredictable bytes.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        complete: Complete,
        *,
        timer: Callable[[], float] = time.monotonic,
        random: Random = os.urandom,
    ) -> None:
        self._store = store
        self._vault = vault
        self._complete = complete
        self._timer = timer
        self._random = random
        self._queue = TurnQueue()

    @asynccontextmanager
    async def prepare(
        self, request: Request, message: str, config: Config, summary: Template, *, pay: bool = True
    ) -> AsyncIterator[PreparedRequest]:
        """Wait for the request's turn in its session and add the history.

        Exchanges beyond ``sessions.tokens`` are first replaced by a summary, which is a request of its own.
        If that fails, they are deleted.

        Args:
            message: the user's message to store.
            summary: the prompt for summaries.
            pay: False makes no summary; the oldest exchanges are left out and stay stored.

        Raises:
            MasterKeyError: there is no master key to encrypt the history with.
            ProviderTimeout: the request's timeout passed before its turn, or before the history was read.
            StoreError: the history cannot be read.
        """
        key = SessionKey(request.user_id or "", request.session_id or "")
        began_ms = self._store.now_ms() if request.began_ms is None else request.began_ms
        started = self._timer()
        try:
            async with asyncio.timeout(request.timeout):
                turn = await self._queue.enter(key)
        except TimeoutError:
            raise _timed_out(request, "the calls before this one did not end") from None
        try:
            try:
                async with asyncio.timeout(request.after(self._timer() - started).timeout):
                    past = await in_thread(self._read, key, config)
            except TimeoutError:
                raise _timed_out(request, "its history was not read") from None
            recent = _newest(past, config.sessions.tokens)
            if pay and len(recent) < len(past):
                left = request.after(self._timer() - started)
                recent = await self._summarise(left, key, past, config, summary)

            async def save(reply: Reply) -> None:
                with in_request(request):
                    await self._save(key, config, message, reply, began_ms)

            at = leading(request.messages)
            messages = (*request.messages[:at], *_messages(recent), *request.messages[at:])
            left = request.after(self._timer() - started)
            yield PreparedRequest(replace(left, messages=messages), save)
        finally:
            self._queue.leave(key, turn)

    def prune(self, config: Config) -> None:
        """Delete the exchanges older than ``sessions.keep_days``."""
        oldest_ms = self._oldest_ms(config)
        self._store.write(lambda database: history.prune(database, before_ms=oldest_ms)).result()

    def _cipher(self, database: Database) -> ExchangeCipher:
        """Return the cipher of this operation: the master key may be rotated between two of them."""
        return ExchangeCipher(self._vault.session_cipher(database), self._store.id, self._random)

    def _read(self, key: SessionKey, config: Config) -> list[Exchange]:
        since_ms = self._oldest_ms(config)

        def read(database: Database) -> list[Exchange]:
            with snapshot(database):
                return history.read(database, self._cipher(database), key, since_ms)

        try:
            self._vault.session_cipher()
        except MasterKeyError as error:
            error.add_note("sessions are stored encrypted: to use none, set 'sessions.history: false'")
            raise
        return self._vault.following_master(lambda: self._store.read(read))

    def _oldest_ms(self, config: Config) -> int:
        return self._store.now_ms() - config.sessions.keep_days * _DAY_MS

    async def _summarise(
        self,
        request: Request,
        key: SessionKey,
        past: Sequence[Exchange],
        config: Config,
        template: Template,
    ) -> list[Exchange]:
        """Replace the oldest exchanges by a summary, so that the rest takes half of ``sessions.tokens``."""
        recent = _newest(past, config.sessions.tokens // 2)
        old = past[: len(past) - len(recent)]
        summary: str | None = None
        reason = "the answer was empty"
        try:
            asked = arguments.build_request(
                config.routing,
                template,
                {"content": "\n\n".join(map(_transcript, old))},
                {
                    "task": "summary",
                    "tier": "economy",
                    "user_id": request.user_id,
                    "team": request.team,
                    "tags": request.tags,
                    "session_id": request.session_id,
                    "max_tokens": config.sessions.tokens // 4,
                    "cache": False,
                    "metadata": request.metadata,
                },
            )
            asked = replace(
                asked,
                timeout=request.timeout,
                asked_timeout=request.asked_timeout,
                began_ms=request.began_ms,
            )
            summary = (await self._complete(asked)).content.strip() or None
        except SupernovaError as error:
            reason = type(error).__name__
        if summary is None:
            with in_request(request):
                log.warning("sessions.turns.dropped", session=key.session, turns=len(old), reason=reason)
        await asyncio.wrap_future(
            self._store.write(
                lambda database: history.replace(database, self._cipher(database), key, old, summary)
            )
        )
        if summary is None:
            return recent
        return _newest([old[-1]._replace(message=None, answer=summary), *recent], config.sessions.tokens)

    async def _save(
        self,
        key: SessionKey,
        config: Config,
        message: str,
        reply: Reply,
        began_ms: int,
    ) -> None:
        """Store an exchange; a failure is logged, because the caller paid for the answer."""
        if not reply.content.strip():
            return
        now_ms, oldest_ms = self._store.now_ms(), self._oldest_ms(config)

        def write(database: Database) -> None:
            history.prune(database, before_ms=oldest_ms)
            if history.was_erased(database, key, began_ms):
                return
            cipher = self._cipher(database)
            history.append(database, cipher, key, now_ms, message=message, answer=reply.content)

        store = self._store
        writing = asyncio.ensure_future(
            in_thread(self._vault.following_master, lambda: store.write(write).result())
        )

        def log_failure(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()):
                log.warning("sessions.turn.lost", session=key.session, error=str(error))

        writing.add_done_callback(log_failure)
        await asyncio.wait([writing], timeout=_SAVE_TIMEOUT_S)  # a busy database stores it later


def tokens(exchange: Exchange) -> int:
    """Return the approximate tokens of an exchange: four bytes are one token."""
    return (len((exchange.message or "").encode()) + len(exchange.answer.encode())) // 4 + 1


def _newest(past: Sequence[Exchange], max_tokens: int) -> list[Exchange]:
    """Return the newest exchanges that fit into ``max_tokens``."""
    first = len(past)
    while first and (max_tokens := max_tokens - tokens(past[first - 1])) >= 0:
        first -= 1
    return list(past[first:])


def _messages(past: Sequence[Exchange]) -> list[Mapping[str, str]]:
    messages: list[Mapping[str, str]] = []
    for exchange in past:
        said = (
            f"What we said before, in short:\n{exchange.answer}"
            if exchange.message is None
            else exchange.message
        )
        messages.append({"role": "user", "content": said})
        if exchange.message is not None:
            messages.append({"role": "assistant", "content": exchange.answer})
    return messages


def _transcript(exchange: Exchange) -> str:
    if exchange.message is None:
        return f"Before that, in short: {exchange.answer}"
    return f"User: {exchange.message}\nAssistant: {exchange.answer}"


def _timed_out(request: Request, what: str) -> ProviderTimeout:
    return ProviderTimeout(f"session {request.session_id!r}: {what} within {request.allowed:g} s")
