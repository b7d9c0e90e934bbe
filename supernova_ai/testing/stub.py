"""A provider on loopback that gives scripted answers, in the format of the API that is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from supernova_ai.testing.answers import Answer, Body, Failure, Raw, Received, Reply
from supernova_ai.testing.dialects import CHAT_DIALECTS, Dialect, OpenAI
from supernova_ai.testing.probe_answers import probe_answer
from supernova_ai.testing.responder import Responder
from supernova_ai.testing.vector_dialects import VECTOR_DIALECTS

DIALECTS = {**CHAT_DIALECTS, **VECTOR_DIALECTS}
"""The dialect of each path."""


class StubProvider:
    """Serve the chat APIs of OpenAI, HuggingFace, Anthropic and Ollama on 127.0.0.1 until closed.

    It also serves OpenAI's embeddings and Cohere's rerank: a text as reply then means the vectors or the
    ranking of ``vector_of`` and ``relevance_of``.

    It runs in its own thread, so both sync and async tests can use it. It is ready when the constructor
    returns.

    Args:
        reply: the reply to every chat request after the script: a text, a step such as ``Failure(500)``, or
            a function that returns one of them for a request.
        script: the replies to the first chat requests, in order, for any API. More can be appended to
            ``script`` at any time.
        probe: the reply to the free requests that probe health and keys (``GET /v1/models``, ``/api/tags``,
            ``/api/version``, ``/api/whoami-v2``). A text means the answer of a healthy provider.
    """

    def __init__(
        self, reply: Reply = "Hello from the stub.", script: Iterable[Reply] = (), probe: Reply = "healthy"
    ) -> None:
        self.reply = reply
        self.script: deque[Reply] = deque(script)
        self.probe = probe
        self.requests: list[Received] = []
        self._arrived = threading.Condition()
        port: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(port)), name="stub-provider", daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{port.result(timeout=10)}"

    @property
    def chats(self) -> list[Received]:
        """The requests that are not probes."""
        return [request for request in list(self.requests) if request.method != "GET"]

    def wait_for_requests(self, count: int, timeout: float = 30.0) -> None:
        """Wait until that many requests in total have arrived, not counting probes.

        Raises:
            TimeoutError: fewer requests arrived within ``timeout`` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.chats) >= count, timeout):
                raise TimeoutError(f"{len(self.chats)} of {count} requests arrived within {timeout} s")

    def close(self) -> None:
        """Close every connection and stop. Calling again has no effect."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def __enter__(self) -> StubProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _run(self, port: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        server = await asyncio.start_server(self._serve_connection, "127.0.0.1", 0)
        port.set_result(server.sockets[0].getsockname()[1])
        await self._closing.wait()
        server.close()  # the connections are cancelled when the loop ends

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until the client, a step or the stub ends it."""
        try:
            # A client may disconnect at any byte, and closing the stub cancels: neither is an error.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await _read(reader)
                    dialect, fixed, reply = self._choose(request)
                    with self._arrived:
                        self.requests.append(request)
                        self._arrived.notify_all()
                    reply = reply(request) if callable(reply) else reply
                    step = Answer(reply) if isinstance(reply, str) else reply
                    await Responder(request, dialect, fixed, reader, writer).answer(step)
        finally:
            if self._closing.is_set():
                writer.transport.abort()  # unread data would keep the socket open
            else:
                writer.close()

    def _choose(self, request: Received) -> tuple[Dialect, Body | None, Reply]:
        path = request.path.partition("?")[0]
        # A raw answer needs no dialect: it is sent for any path.
        if request.method == "POST" and (path in DIALECTS or isinstance(self.reply, Raw)):
            return DIALECTS.get(path, OpenAI()), None, self.script.popleft() if self.script else self.reply
        if request.method == "GET" and (probe := probe_answer(path, request.headers)):
            return *probe, self.probe
        return OpenAI(), None, Failure(404, f"the stub does not know {request.method} {request.path}")


async def _read(reader: asyncio.StreamReader) -> Received:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        data = await reader.readexactly(int(headers.get("content-length", 0)))
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise ConnectionAbortedError("the client does not speak HTTP") from error
    try:
        body = json.loads(data) if data else None
    except ValueError:
        body = data.decode(errors="replace")
    return Received(method, target, headers, body)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port of 127.0.0.1 that refuses connections until the block ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but never listening
        yield int(held.getsockname()[1])
