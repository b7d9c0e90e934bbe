"""The requests of a client: prepared from a call's arguments, with files and history, and answered."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from supernova_ai.characters import quoted
from supernova_ai.client_lifecycle import ClientLifecycle
from supernova_ai.concurrency import check_loop, in_thread
from supernova_ai.errors import InvalidRequest, ProviderTimeout
from supernova_ai.log import in_request
from supernova_ai.requests import arguments
from supernova_ai.requests.attachments import AttachmentSource, attach
from supernova_ai.requests.messages import has_media, last_user_message, text_of
from supernova_ai.requests.options import RequestOptions, StreamingOptions, StreamOptions
from supernova_ai.sessions import PreparedRequest
from supernova_ai.streams import Stream
from supernova_ai.types import Reply, Request


class ClientRequests(ClientLifecycle):
    """Makes the requests of a client's methods, and reads their answers."""

    def _message_turn(
        self,
        message: str | None,
        options: StreamOptions,
        response_model: Any,
        *,
        pay: bool = True,
    ) -> AbstractAsyncContextManager[PreparedRequest]:
        given = options.get("messages")
        if given is not None and message is not None:
            raise InvalidRequest("message and messages are given: give one")
        if isinstance(message, list | tuple) or (message is None and given is None):
            raise InvalidRequest("message must be a text that is not empty; for a list, give messages=[…]")
        if given is None:
            request = self._request("chat", {"message": message}, options, response_model)
        else:
            request = arguments.build_message_request(
                self.config.routing, given, options, response_model=response_model
            )
            last = last_user_message(request.messages)
            message = None if last is None else text_of(request.messages[last])
        if (system := options.get("system")) is not None:
            request = arguments.with_system(request, system)
        return self._turn(request, message, options.get("attachments") or (), pay=pay)

    async def _answer(
        self, preparing: AbstractAsyncContextManager[PreparedRequest], options: StreamingOptions
    ) -> Reply:
        streaming, on_token = options.get("streaming"), options.get("on_token")
        if streaming is None:
            streaming = self.config.streaming
        if on_token is not None and not callable(on_token):
            raise InvalidRequest(f"on_token must be a function of one text, not {quoted(on_token)}")
        if not (streaming or on_token):
            async with preparing as turn:
                reply = await self._runtime.engine.complete(turn.request)
                await turn.save(reply)
                return reply
        async with Stream(lambda: self._runtime.engine, preparing) as tokens:
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
        started = time.perf_counter()
        has_files = attachments or has_media(request.messages)
        what = "opening the client, which warm_up() does beforehand,"
        try:
            async with asyncio.timeout(request.timeout):
                await self._ready()
                if has_files:
                    what = "reading the attachments"
                    with in_request(request):
                        request = await in_thread(attach, request, attachments, self.config.attachments)
        except TimeoutError:
            raise ProviderTimeout(f"{what} took all of the {request.timeout:g} s") from None
        request = request.after(time.perf_counter() - started)
        request = replace(request, began_ms=self._runtime.ledger.now_ms(), started=started)
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

    def _request(
        self, prompt: str, values: Mapping[str, Any], options: RequestOptions, response_model: Any
    ) -> Request:
        return arguments.build_request(
            self.config.routing, self._library.get(prompt), values, options, response_model=response_model
        )
