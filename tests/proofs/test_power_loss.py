"""The power is cut at any sync: what was acknowledged is there when it is back."""

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
from tests.proofs.calls import attempts, check, placing, settled
from tests.proofs.disk import Disk, File, restore

pytestmark = pytest.mark.proof

BUDGETS = (Budget(name="all", limit=Decimal(1000), per="day"),)
ROUNDS = 15


@dataclass(frozen=True)
class Cut:
    """The files at the moment the power went, and what had been acknowledged by then."""

    files: dict[str, File]
    acknowledged: int


class Connection(apsw.Connection):
    """Takes how texts are read, as the standard library's driver does, and reads them as ever."""

    text_factory: Any = str


class OnDisk(APSWDatabase):  # type: ignore[misc] # peewee has no types
    """SQLite as the store uses it, on a disk of ours."""

    def _connect(self) -> Any:
        connection = Connection(self.database, **self.connect_params)
        connection.setbusytimeout(int(self._timeout * 1000))
        self._add_conn_hooks(connection)
        # The standard library's driver knows how to bind a time, which migrations need; this one asks.
        connection.convert_binding = lambda cursor, number, value: str(value)
        return connection


@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["nothing loose", "half of it", "all of it"])
def test_power_loss_at_any_sync_loses_nothing_acknowledged(
    share: float, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at every sync of a store's life, whatever part of the unsynced sectors the disk had written: the
    database opens, is whole, its books are right, and every acknowledged hold and cost is in its row.
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
            # Checkpoints come with every few commits here, and not with every few thousand.
            store.write(lambda database: database.execute_sql("PRAGMA wal_autocheckpoint = 12")).result()
            live(store, chance, acknowledged)
    assert len(acknowledged) > 3 * ROUNDS
    assert len(cuts) > len(acknowledged) / 3

    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        restore(cut.files, folder, chance, share)
        with Store(folder / "supernova.db") as store:
            check(store)
            rows = attempts(store)
            costs = {name: cost for what, name, cost in acknowledged[: cut.acknowledged] if what == "settled"}
            held = {name for what, name, _ in acknowledged[: cut.acknowledged] if what == "held"}
            assert held <= set(rows)
            assert costs == {name: rows[name].cost for name in costs}
            assert {rows[name].state for name in costs} <= {"settled"}


def live(store: Store, chance: Random, acknowledged: list[tuple[str, str, int]]) -> None:
    """Take and settle holds, some together, and note each once it is acknowledged."""
    ledger = Ledger(store, BUDGETS)
    open_: list[Hold] = []
    for number in range(ROUNDS):
        names = [f"{number}-{n}" for n in range(chance.randint(1, 5))]
        for future in [ledger.write(placing(ledger, name, chance.randint(1, 10**6))) for name in names]:
            hold = future.result()
            open_.append(hold)
            acknowledged.append(("held", hold.attempt, hold.amount))
        while len(open_) > 2:
            hold = open_.pop(chance.randrange(len(open_)))
            cost = chance.randint(0, hold.amount)
            assert ledger.end(hold, settled(cost, ledger.now_ms())).result()
            acknowledged.append(("settled", hold.attempt, cost))
    ledger.close()
