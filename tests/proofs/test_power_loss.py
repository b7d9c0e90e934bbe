"""Power loss at any sync: every acknowledged write is there afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from playhouse.apsw_ext import APSWDatabase

from supernova_ai.config import Budget
from supernova_ai.ledger import Hold, Ledger
from supernova_ai.store import Store, sqlite
from supernova_ai.store import database as store_database
from tests.holds import place_hold, settled
from tests.proofs.unsafe_disk import Disk, File, restore
from tests.recount import attempts, check_store

pytestmark = pytest.mark.proof

BUDGETS = (Budget(name="all", limit=Decimal(1000), per="day"),)
ROUNDS = 15


@dataclass(frozen=True)
class Cut:
    """The files at the moment of a power loss, and the number of acknowledged writes by then."""

    files: dict[str, File]
    acknowledged: int


class Connection(apsw.Connection):
    """Accepts ``text_factory`` as the standard library's driver does, and ignores it."""

    text_factory: Any = str


class OnDisk(APSWDatabase):  # type: ignore[misc] # peewee has no types
    """SQLite as the store uses it, on the simulated disk."""

    def _connect(self) -> Any:
        connection = Connection(self.database, **self.connect_params)
        connection.setbusytimeout(int(self._timeout * 1000))
        self._add_conn_hooks(connection)
        # Migrations bind a time: the standard library's driver converts it, this one calls a function.
        connection.convert_binding = lambda cursor, number, value: str(value)
        return connection


@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["no unsynced sector", "half of them", "all of them"])
def test_power_loss_at_any_sync_loses_nothing_acknowledged(
    share: float, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power loss at any sync, whatever share of the unsynced sectors was written, the database opens
    and is intact, the ledger is consistent, and every acknowledged hold and cost is in its row.
    """
    chance = Random(seed)
    acknowledged: list[tuple[str, str, int]] = []
    cuts: list[Cut] = []
    disk = Disk(f"fallible-{share}", lambda: cuts.append(Cut(disk.copy(), len(acknowledged))))

    with monkeypatch.context() as patched:
        patched.setattr(
            store_database, "Sqlite", lambda path: OnDisk(str(path), vfs=disk.vfs_name, **sqlite.SETTINGS)
        )
        with Store(tmp_path / "supernova.db") as store:
            # Checkpoint after every few commits, and not after every few thousand.
            store.write(lambda database: database.execute_sql("PRAGMA wal_autocheckpoint = 12")).result()
            place_and_settle(store, chance, acknowledged)
    assert len(acknowledged) > 3 * ROUNDS
    assert len(cuts) > len(acknowledged) / 3

    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        restore(cut.files, folder, chance, share)
        with Store(folder / "supernova.db") as store:
            check_store(store)
            rows = attempts(store)
            costs = {name: cost for what, name, cost in acknowledged[: cut.acknowledged] if what == "settled"}
            held = {name for what, name, _ in acknowledged[: cut.acknowledged] if what == "held"}
            assert held <= set(rows)
            assert costs == {name: rows[name].cost for name in costs}
            assert {rows[name].state for name in costs} <= {"settled"}


def place_and_settle(store: Store, chance: Random, acknowledged: list[tuple[str, str, int]]) -> None:
    """Place and settle holds, some together, and record each once it is acknowledged."""
    ledger = Ledger(store, BUDGETS)
    open_: list[Hold] = []
    for number in range(ROUNDS):
        names = [f"{number}-{n}" for n in range(chance.randint(1, 5))]
        for future in [ledger.write(place_hold(ledger, name, chance.randint(1, 10**6))) for name in names]:
            hold = future.result()
            open_.append(hold)
            acknowledged.append(("held", hold.attempt, hold.amount))
        while len(open_) > 2:
            hold = open_.pop(chance.randrange(len(open_)))
            cost = chance.randint(0, hold.amount)
            assert ledger.end(hold, settled(cost, ledger.now_ms())).result()
            acknowledged.append(("settled", hold.attempt, cost))
    ledger.close()
