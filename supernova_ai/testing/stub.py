"""A provider on loopback that answers as it is told, in the wire format of whichever API is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from supernova_ai.testing.answers import Answer, Body, Failure, Hang, Raw, Reset, Step, complete
from supernova_ai.testing.dialects import DIALECTS, Dialect, OpenAI

_GATE_POLL = 0.002
"""Seconds between two looks at a closed gate, which is a thread's event and cannot be awaited."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived, secrets included. Header names are in lower case; the body is its JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class StubProvider:
    """Speak OpenAI's, HuggingFace's, Anthropic's and Ollama's chat APIs on 127.0.0.1 until closed.

    It runs on a thread of its own, so sync and async tests use it alike, and it is ready when the
    constructor returns.

    Args:
        reply: what every chat request gets once the script is used up: a text, or a step such as
            ``Failure(500)``.
        script: what the first chat requests get, in order, whatever API they ask. More may be
            appended to ``script`` at any time.
    """

    def __init__(self, reply: str | Step = "Hello from the stub.", script: Iterable[str | Step] = ()) -> None:
        self.reply = reply
        self.script: deque[str | Step] = deque(script)
        self.requests: list[Received] = []
        self._arrived = threading.Condition()
        port: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(port)), name="stub-provider", daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{port.result(timeout=10)}"

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> None:
        """Return once that many requests have arrived in all.

        Raises:
            TimeoutError: they have not within ``timeout`` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {timeout} s")

    def close(self) -> None:
        """Close every connection and stop. Calling again does nothing."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def __enter__(self) -> StubProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _run(self, port: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        port.set_result(server.sockets[0].getsockname()[1])
        await self._closing.wait()
        server.close()  # the conversations are cancelled as the loop ends

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until the client or the stub closes it."""
        # A client may hang up at any byte, and closing the stub cancels: both are the end, not an error.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await _read(reader)
                dialect = DIALECTS.get(request.path.partition("?")[0])
                if dialect is None or request.method != "POST":
                    dialect = OpenAI()
                    step: str | Step = Failure(404, f"the stub does not know {request.method} {request.path}")
                else:
                    step = self.script.popleft() if self.script else self.reply
                with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                step = Answer(step) if isinstance(step, str) else step
                await _perform(step, request.body, dialect, reader, writer)
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, json.loads(body) if body else None)


async def _perform(
    step: Step,
    request: Body,
    dialect: Dialect,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    match step:
        case Answer():
            await _answer(step, request, dialect, reader, writer)
        case Failure(status, message, headers):
            body = json.dumps(dialect.error(status, message))
            writer.write(_response(status, "application/json", body, headers))
        case Raw(status, content_type, text, headers):
            writer.write(_response(status, content_type, text, headers))
        case Hang():
            await reader.read()  # until the client hangs up, or the stub closes
        case Reset(after, text):
            if after and dialect.streamed(request):
                completion = complete(Answer(text), request, dialect.max_tokens(request))
                writer.write(_stream_head(dialect) + _chunk(dialect.opening(completion)))
                for token in completion.tokens[:after]:
                    writer.write(_chunk(dialect.token(completion, token)))
            _reset(writer)
    await writer.drain()


async def _answer(
    answer: Answer,
    request: Body,
    dialect: Dialect,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    completion = complete(answer, request, dialect.max_tokens(request))
    if not dialect.streamed(request):
        await _pass(answer.gate, reader)
        writer.write(_response(200, "application/json", json.dumps(dialect.plain(completion)), {}))
        return
    writer.write(_stream_head(dialect) + _chunk(dialect.opening(completion)))
    for number, token in enumerate(completion.tokens):
        writer.write(_chunk(dialect.token(completion, token)))
        if number == 0:
            await _pass(answer.gate, reader)
    writer.write(_chunk(dialect.closing(completion, request)) + b"0\r\n\r\n")


async def _pass(gate: threading.Event | None, reader: asyncio.StreamReader) -> None:
    while gate is not None and not gate.is_set():
        if reader.at_eof():
            raise ConnectionResetError("the client has gone")
        await asyncio.sleep(_GATE_POLL)


def _reset(writer: asyncio.StreamWriter) -> None:
    # Lingering for zero seconds makes closing send a reset instead of a polite end.
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    raise ConnectionResetError("as told")


def _response(status: int, content_type: str, body: str, headers: Mapping[str, str]) -> bytes:
    data = body.encode()
    fields = {"content-type": content_type, "content-length": str(len(data)), **headers}
    return _head(status, fields) + data


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


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that refuses connections, kept from anyone else until the block ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but never listening
        yield int(held.getsockname()[1])
