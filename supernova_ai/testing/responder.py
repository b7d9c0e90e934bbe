"""Sends the answer to one request: complete, broken, late or endless, as its step says."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from threading import Event

from supernova_ai.testing.answers import (
    Answer,
    Body,
    Completion,
    Cut,
    Failure,
    Flood,
    Garbled,
    Hang,
    Raw,
    Received,
    Refusal,
    Reset,
    Step,
    completion_for,
)
from supernova_ai.testing.dialects import Dialect

_JSON = "application/json"
_END = b"0\r\n\r\n"
_GATE_POLL = 0.002
"""Seconds between two checks of a gate, which is a threading event and cannot be awaited."""
_FLOOD_MARK = "[flood]"
_FLOOD_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Responder:
    """Answers one request in one dialect. ``fixed`` is the body for a probe, which is never streamed."""

    received: Received
    dialect: Dialect
    fixed: Body | None
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self, step: Step) -> None:
        """Send the answer of a step.

        Raises:
            ConnectionError: the client has closed the connection, or the step closes it.
        """
        match step:
            case Answer():
                await self._send_completion(step)
            case Garbled(after, text):
                await self._send_completion(Answer(text), garbled=after)
            case Flood(size):
                await self._flood(size)
            case Failure(status, message, headers):
                filled = message and message.replace("{key}", self.received.key)
                error = self.dialect.error(status, filled)
                if step.after_tokens is None or not self._streamed:
                    await self._send(_response(status, _JSON, json.dumps(error), headers))
                else:
                    await self._begin(step.text, step.after_tokens)
                    await self._send(_chunk(self.dialect.error_event(error)) + _END)
            case Refusal(reason):
                status, body = self.dialect.refusal(reason)
                await self._send(_response(status, _JSON, json.dumps(body), {}))
            case Raw(status, content_type, text, headers):
                await self._send(_response(status, content_type, text, headers))
            case Hang(after, text):
                await self._begin(text, after)
                await self.reader.read()  # until the client hangs up, or the stub closes
            case Reset(after, text):
                await self._begin(text, after)
                self._reset()
            case Cut(after, complete, text):
                await self._begin(text, after, complete=complete)
                if not complete:
                    raise ConnectionAbortedError("cut by its step")
                if self._streamed:
                    await self._send(_END)

    async def _send_completion(self, answer: Answer, garbled: int | None = None) -> None:
        completion = self._make_completion(answer)
        if not self._streamed:
            body = self._plain(completion)
            await self._wait(answer.gate)
            head, data = _parts(200, _JSON, body if garbled is None else _garble(body), {})
            await self._send(head if answer.pause else head + data)
            for byte in data if answer.pause else b"":
                await self._sleep(answer.pause)
                await self._send(bytes([byte]))
            return
        await self._send(_stream_head(self.dialect) + _chunk(self.dialect.opening(completion)))
        for number in range(len(completion.tokens)):
            if answer.pause:
                await self._sleep(answer.pause)
            event = self.dialect.token(completion, number, self.received.json)
            await self._send(_chunk(_garble(event) if number == garbled else event))
            if number == 0:
                await self._wait(answer.gate)
        await self._send(_chunk(self.dialect.closing(completion, self.received.json)) + _END)

    async def _begin(self, text: str | Answer, after: int | None, *, complete: bool = False) -> None:
        """Send the beginning of an answer.

        Args:
            after: None sends nothing, 0 the headers, another number that many tokens of a stream, or half of
                a plain body.
            complete: the headers of a plain answer give the length of the part that is sent.
        """
        if after is None:
            return
        completion = self._make_completion(Answer(text) if isinstance(text, str) else text)
        if self._streamed:
            await self._send(_stream_head(self.dialect))
            request, first = self.received.json, range(len(completion.tokens))[:after]
            events = [self.dialect.token(completion, number, request) for number in first]
            for event in [self.dialect.opening(completion), *events] if after else []:
                await self._send(_chunk(event))
        else:
            body = self._plain(completion)
            sent = body[: len(body) // 2] if after else ""
            head, _ = _parts(200, _JSON, sent if complete else body, {})
            await self._send(head + sent.encode())

    async def _flood(self, size: int | None) -> None:
        completion = self._make_completion(Answer(_FLOOD_MARK))
        if self._streamed:
            head = _stream_head(self.dialect)
            text = self.dialect.opening(completion) + self.dialect.token(completion, 0, self.received.json)
            text += self.dialect.closing(completion, self.received.json)
        else:
            head = _head(200, {"content-type": _JSON, "transfer-encoding": "chunked"})
            text = self._plain(completion)
        before, _, after = text.partition(_FLOOD_MARK)
        await self._send(head + _chunk(before))
        for left in repeat(_FLOOD_PIECE) if size is None else range(size, 0, -_FLOOD_PIECE):
            await self._send(_chunk("x" * min(left, _FLOOD_PIECE)))
            await asyncio.sleep(0)  # let the stub answer other clients too
        await self._send(_chunk(after) + _END)

    @property
    def _streamed(self) -> bool:
        return self.fixed is None and self.dialect.streamed(self.received.json)

    def _make_completion(self, answer: Answer) -> Completion:
        request = self.received.json
        return completion_for(answer, request, self.dialect.max_tokens(request))

    def _plain(self, completion: Completion) -> str:
        return json.dumps(self.fixed or self.dialect.plain(completion, self.received.json))

    async def _send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def _wait(self, gate: Event | None) -> None:
        while gate is not None and not gate.is_set():
            await self._sleep(_GATE_POLL)

    async def _sleep(self, seconds: float) -> None:
        if self.reader.at_eof() or self.reader.exception():
            raise ConnectionResetError("the client has closed the connection")
        await asyncio.sleep(seconds)

    def _reset(self) -> None:
        # With a linger time of zero, closing the socket sends a reset.
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
        raise ConnectionResetError("reset by its step")


def _garble(text: str) -> str:
    """Remove the last closing brace of the JSON."""
    before, _, after = text.rpartition("}")
    return before + after


def _response(status: int, content_type: str, body: str, headers: Mapping[str, str]) -> bytes:
    head, data = _parts(status, content_type, body, headers)
    return head + data


def _parts(status: int, content_type: str, body: str, headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    data = body.encode()
    return _head(status, {"content-type": content_type, "content-length": str(len(data)), **headers}), data


def _stream_head(dialect: Dialect) -> bytes:
    return _head(200, {"content-type": dialect.stream_type, "transfer-encoding": "chunked"})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {'OK' if status < 400 else 'Error'}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""  # an empty chunk would end the body
