"""What a process holds, before and after: threads, files, sockets and memory."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROCESS = Path("/proc/self")
_PATIENCE = 300
_THEIRS = "litellm-logging"  # LiteLLM's own few threads, for as long as the process lives


@contextmanager
def leaving_nothing(most_bytes: int | None = None) -> Iterator[None]:
    """Assert that the block leaves no thread, file or socket behind, and took no more memory than that."""
    before = _held()
    (_PROCESS / "clear_refs").write_text("5")  # what is the peak from now on
    peak = _memory("VmHWM")
    yield
    for _ in range(_PATIENCE):
        threads, files = _held()
        if threads == before[0] and files <= before[1]:  # fewer: what others left is collected at any time
            break
        time.sleep(0.01)  # a thread that was told to stop needs a moment
    else:
        raise AssertionError(f"{before} became {(threads, files)}")
    assert most_bytes is None or _memory("VmHWM") - peak < most_bytes


def resident_bytes() -> int:
    """Return the memory in use, without what is only waiting to be collected."""
    gc.collect()
    return _memory("VmRSS")


def _held() -> tuple[list[str], int]:
    names = sorted(t.name for t in threading.enumerate() if not t.name.startswith(_THEIRS))
    return names, len(list((_PROCESS / "fd").iterdir()))


def _memory(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
