"""A full disk: a clear error, nothing half-written, and no restart once there is space again."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from supernova_ai.config import Budget
from supernova_ai.errors import StoreError
from supernova_ai.ledger import Ledger
from supernova_ai.store import Store
from tests.holds import place_hold, settled
from tests.processes import run_in_child
from tests.recount import attempts, check_store

pytestmark = pytest.mark.proof

BUDGETS = (Budget(name="all", limit=Decimal(1000), per="day"),)
ROOM = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"a disk cannot be mounted here: {getattr(error, 'stderr', None) or error}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def run_full(store: Store, *, fill: Callable[[], None], make_room: Callable[[], None]) -> None:
    """Place holds until the disk is full, make room, go on; assert that just the acknowledged rows exist."""
    ledger = Ledger(store, BUDGETS)
    held = [ledger.write(place_hold(ledger, f"before-{n}", 1000)).result() for n in range(20)]
    fill()
    full = None
    while full is None:
        futures = [ledger.write(place_hold(ledger, f"{len(held)}-{n}", 1000)) for n in range(5)]
        for future in futures:
            try:
                held.append(future.result())
            except StoreError as error:
                full = error
    assert "Free some space on its disk" in str(full)

    make_room()
    held.append(ledger.write(place_hold(ledger, "after", 1000)).result())
    assert ledger.end(held[0], settled(10, ledger.now_ms())).result()
    check_store(store)
    rows = attempts(store)
    assert set(rows) == {hold.attempt for hold in held}
    assert (rows["before-0"].state, rows["before-0"].cost) == ("settled", 10)
    ledger.close()


def test_full_disk_stops_work_only_while_it_is_full(small_disk: Path) -> None:
    """A full disk is a StoreError with its remedy; once there is space the same store works again."""
    other = small_disk / "other"

    def fill() -> None:
        with other.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    with Store(small_disk / "supernova.db") as store:
        run_full(store, fill=fill, make_room=other.unlink)


def test_file_size_limit_is_like_a_full_disk(tmp_path: Path) -> None:
    """A file size limit (``ulimit -f``) gives the same error, and the same recovery."""

    def limited() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with Store(tmp_path / "supernova.db") as store:
            run_full(
                store,
                fill=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard)),
                make_room=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
            )

    assert run_in_child(limited) == 0
