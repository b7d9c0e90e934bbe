"""Which event loops the package works with: asyncio's own, in a process whose threads are real."""

from __future__ import annotations

import asyncio
import sys

from supernova_ai.errors import UnsupportedLoop

_PATCHERS = (
    ("gevent", "gevent.monkey", "is_module_patched", ("threading", "socket", "select")),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", ("thread", "socket", "select")),
)


def check_threads() -> None:
    """Refuse a process in which gevent or eventlet has replaced threads or sockets: asyncio hangs there.

    Raises:
        UnsupportedLoop: it names the library.
    """
    for library, name, asked, modules in _PATCHERS:
        patcher = sys.modules.get(name)
        if patcher is not None and any(map(getattr(patcher, asked), modules)):
            raise UnsupportedLoop(
                f"{library} has patched this process's threads and sockets, and a call would hang: use "
                f"supernova_ai in a process without {library}'s patches"
            )


def check_loop() -> None:
    """Refuse a caller without a running asyncio loop, or with one that could not work.

    Raises:
        UnsupportedLoop: it says how to call instead.
    """
    check_threads()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UnsupportedLoop(
            "no asyncio event loop is running here, and trio and curio are not supported: use "
            "asyncio.run(…), anyio with its asyncio backend, or trio-asyncio"
        ) from None
