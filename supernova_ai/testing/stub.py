"""A provider on loopback that answers as it is told, in the wire format of whichever API is asked."""

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
from supernova_ai.testing.delivery import Delivery
from supernova_ai.testing.dialects import DIALECTS, Dialect, OpenAI
from supernova_ai.testing.probes import find_probe


class StubProvider:
    """Speak OpenAI's, HuggingFace's, Anthropic's and Ollama's chat APIs on 127.0.0.1 until closed.

    It runs on a thread of its own, so sync and async tests use it alike, and it is ready when the
    constructor returns.

    Args:
        reply: what every chat request gets once the script is used up: a text, a step such as
            ``Failure(500)``, or a function of the request that gives one of them.
        script: what the first chat requests get, in order, whatever API they ask. More may be
            appended to ``script`` at any time.
        probe: what the free questions about health and keys get (``GET /v1/models``, ``/api/tags``,
            ``/api/version``, ``/api/whoami-v2``): a text means what a healthy provider answers.
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
        """The requests that were no probes."""
        return [request for request in list(self.requests) if request.method != "GET"]

    def wait_for_requests(self, count: int, timeout: float = 30.0) -> None:
        """Return once that many requests have arrived in all, probes not counted.

        Raises:
            TimeoutError: they have not within ``timeout`` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.chats) >= count, timeout):
                raise TimeoutError(f"{len(self.chats)} of {count} requests came within {timeout} s")

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
        """Answer one connection's requests until the client, a step or the stub ends it."""
        try:
            # A client may hang up at any byte, and closing the stub cancels: both are the end, not an error.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await _read(reader)
                    dialect, fixed, reply = self._choose(request)
                    with self._arrived:
                        self.requests.append(request)
                        self._arrived.notify_all()
                    reply = reply(request) if callable(reply) else reply
                    step = Answer(reply) if isinstance(reply, str) else reply
                    await Delivery(request, dialect, fixed, reader, writer).perform(step)
        finally:
            if self._closing.is_set():
                writer.transport.abort()  # what nobody reads would keep the socket open
            else:
                writer.close()

    def _choose(self, request: Received) -> tuple[Dialect, Body | None, Reply]:
        path = request.path.partition("?")[0]
        # Given bytes are what a provider answers whatever its dialect, and wherever it is asked.
        if request.method == "POST" and (path in DIALECTS or isinstance(self.reply, Raw)):
            return DIALECTS.get(path, OpenAI()), None, self.script.popleft() if self.script else self.reply
        if request.method == "GET" and (probe := find_probe(path, request.headers)):
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
    """Give a port of 127.0.0.1 that refuses connections, kept from anyone else until the block ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but never listening
        yield int(held.getsockname()[1])
