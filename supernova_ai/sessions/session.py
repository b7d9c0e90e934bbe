"""A turn of a conversation: what was said before is fetched, shortened where it is too long, and added to."""

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
from supernova_ai.errors import MasterKeyError, ProviderTimeout, StoreError, SupernovaError
from supernova_ai.keys import Vault
from supernova_ai.keys.crypto import Random
from supernova_ai.log import get_logger
from supernova_ai.prompts import Template
from supernova_ai.requests import arguments
from supernova_ai.sessions import turns
from supernova_ai.sessions.queue import TurnQueue
from supernova_ai.sessions.turns import PastExchange, Seal, SessionKey
from supernova_ai.store import Store
from supernova_ai.types import Reply, Request

log = get_logger(__name__)

_DAY_MS = 86_400_000
_PATIENCE_S = 3.0
"""How long an answer waits until it is kept."""

Complete = Callable[[Request], Awaitable[Reply]]


async def _not_kept(_: Reply) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Turn:
    """A request as it is to be sent, with what was said before; ``keep`` is for its answer."""

    request: Request
    keep: Callable[[Reply], Awaitable[None]] = _not_kept


class Conversations:
    """The conversations of one store. Calls in the same session take turns, in this process.

    Args:
        complete: answers the request for a summary.
        timer: seconds, monotonic.
        random: gives that many unpredictable bytes.
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
        self._line = TurnQueue()

    @asynccontextmanager
    async def turn(
        self, request: Request, message: str, config: Config, summary: Template, *, pay: bool = True
    ) -> AsyncIterator[Turn]:
        """Take a turn in the request's session.

        What is more than ``sessions.tokens`` is summarised first, by a request of its own; if that fails, the
        oldest is forgotten.

        Args:
            message: what the user said, as it is to be kept.
            summary: the prompt that shortens a conversation.
            pay: False makes no summary; the oldest is left out, and kept.

        Raises:
            MasterKeyError: there is nothing to seal what is said with.
            ProviderTimeout: the request's time is over before its turn comes, or the history is read.
            StoreError: what was said cannot be read.
        """
        whose = SessionKey(request.user_id or "", request.session_id or "")
        began_ms = self._store.now_ms() if request.began_ms is None else request.began_ms
        started = self._timer()
        try:
            async with asyncio.timeout(request.timeout):
                mine = await self._line.enter(whose)
        except TimeoutError:
            raise _late(request) from None
        try:
            spent = self._timer() - started
            try:
                async with asyncio.timeout(None if request.timeout is None else request.timeout - spent):
                    seal = await in_thread(self._seal)
                    past = await in_thread(self._read, seal, whose, config)
            except TimeoutError:
                raise ProviderTimeout(
                    f"session {request.session_id!r}: its history was not read within {request.timeout:g} s"
                ) from None
            recent = _newest(past, config.sessions.tokens)
            if pay and len(recent) < len(past):
                recent = await self._shorten(request, seal, whose, past, config, summary)
            left = None if request.timeout is None else request.timeout - (self._timer() - started)
            if left is not None and left <= 0:
                raise _late(request)

            async def keep(reply: Reply) -> None:
                await self._keep(seal, whose, config, message, reply, began_ms)

            messages = (*request.messages[:-1], *_messages(recent), request.messages[-1])
            yield Turn(replace(request, messages=messages, timeout=left), keep)
        finally:
            self._line.leave(whose, mine)

    def _seal(self) -> Seal:
        try:
            return Seal(self._vault.session_cipher(), self._store.id, self._random)
        except MasterKeyError as error:
            error.add_note("sessions are kept sealed: to go without, set 'sessions.history: false'")
            raise

    def _read(self, seal: Seal, whose: SessionKey, config: Config) -> list[PastExchange]:
        since_ms = self._oldest_ms(config)
        return self._store.read(lambda database: turns.read(database, seal, whose, since_ms))

    def _oldest_ms(self, config: Config) -> int:
        return self._store.now_ms() - config.sessions.keep_days * _DAY_MS

    async def _shorten(
        self,
        request: Request,
        seal: Seal,
        whose: SessionKey,
        past: Sequence[PastExchange],
        config: Config,
        template: Template,
    ) -> list[PastExchange]:
        """Put a summary in the place of the oldest exchanges, and leave room for some more."""
        recent = _newest(past, config.sessions.tokens // 2)
        old = past[: len(past) - len(recent)]
        summary: str | None = None
        reason = "the answer was empty"
        try:
            asked = arguments.build_request(
                config.routing,
                template,
                {"content": "\n\n".join(map(_told, old))},
                {
                    "task": "summary",
                    "tier": "economy",
                    "user_id": request.user_id,
                    "session_id": request.session_id,
                    "max_tokens": config.sessions.tokens // 4,
                    "timeout": request.timeout,
                    "cache": False,
                    "metadata": request.metadata,
                },
            )
            asked = replace(asked, began_ms=request.began_ms)
            summary = (await self._complete(asked)).content.strip() or None
        except SupernovaError as error:
            reason = type(error).__name__
        if summary is None:
            log.warning("sessions.turns.dropped", session=whose.session, turns=len(old), reason=reason)
        await asyncio.wrap_future(
            self._store.write(lambda database: turns.replace(database, seal, whose, old, summary))
        )
        shortened = PastExchange(old[-1].number, old[-1].at_ms, None, summary or "")
        return _newest([*([shortened] if summary else []), *recent], config.sessions.tokens)

    def prune(self, config: Config) -> None:
        """Delete what is older than it may be kept."""
        oldest_ms = self._oldest_ms(config)
        self._store.write(lambda database: turns.prune(database, before_ms=oldest_ms)).result()

    async def _keep(
        self, seal: Seal, whose: SessionKey, config: Config, message: str, reply: Reply, began_ms: int
    ) -> None:
        """Keep an exchange; a failure must not take the answer away from who paid for it."""
        if not reply.content.strip():
            return
        now_ms, oldest_ms = self._store.now_ms(), self._oldest_ms(config)

        def write(database: Database) -> None:
            turns.prune(database, before_ms=oldest_ms)
            if turns.is_gone(database, whose, began_ms):
                return
            turns.append(database, seal, whose, now_ms, message=message, answer=reply.content)

        try:
            writing = asyncio.wrap_future(self._store.write(write))
        except StoreError as error:
            log.warning("sessions.turn.lost", session=whose.session, error=str(error))
            return

        def told(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and (error := done.exception()):
                log.warning("sessions.turn.lost", session=whose.session, error=str(error))

        writing.add_done_callback(told)
        await asyncio.wait([writing], timeout=_PATIENCE_S)  # a busy database takes it later


def tokens(exchange: PastExchange) -> int:
    """Return about how many tokens an exchange takes: a token is four bytes of English."""
    return (len((exchange.message or "").encode()) + len(exchange.answer.encode())) // 4 + 1


def _newest(past: Sequence[PastExchange], room: int) -> list[PastExchange]:
    """Return the newest exchanges that the room is enough for."""
    first = len(past)
    while first and (room := room - tokens(past[first - 1])) >= 0:
        first -= 1
    return list(past[first:])


def _messages(past: Sequence[PastExchange]) -> list[Mapping[str, str]]:
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


def _told(exchange: PastExchange) -> str:
    if exchange.message is None:
        return f"Before that, in short: {exchange.answer}"
    return f"User: {exchange.message}\nAssistant: {exchange.answer}"


def _late(request: Request) -> ProviderTimeout:
    return ProviderTimeout(
        f"session {request.session_id!r}: the calls before this one took all of its {request.timeout:g} s"
    )
