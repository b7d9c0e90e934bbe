"""The restore drill: a large ledger, backed up in full use, wiped, and restored on the other engine."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from secrets import token_hex
from threading import Event, Thread

import pytest

from benchmarks import million
from benchmarks.setting import BUDGETS
from supernova_ai import Supernova
from supernova_ai.advisor import records
from supernova_ai.config import Loaded
from supernova_ai.errors import BackupError, StoreError
from supernova_ai.keys import Vault
from supernova_ai.ledger import Ledger
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.comparison import RestorePlace
from supernova_ai.operations.backup.container import Opener, Sealer
from supernova_ai.operations.backup.inspection import inspect
from supernova_ai.operations.backup.restore import restore
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AnswerRow
from supernova_ai.testing import StubProvider
from supernova_ai.upkeep.verify import verify_ledger
from tests import clients
from tests.advisor.test_records import draft
from tests.databases import empty_schema
from tests.holds import place_hold, settled
from tests.operations.backup.conftest import PASSPHRASE, Back
from tests.processes import taking_at_most
from tests.waiting import comes_true

pytestmark = pytest.mark.proof

ATTEMPTS = 100_000
CALLERS = 8


@contextmanager
def callers(store: Store) -> Iterator[list[int]]:
    """Let eight callers take and settle holds meanwhile; gives how many each has settled."""
    ledger, stop, done = Ledger(store, BUDGETS), Event(), [0] * CALLERS

    def call(caller: int) -> None:
        while not stop.wait(0.02):
            name = token_hex(8)
            hold = ledger.write(place_hold(ledger, name, 1000, user_id="ann")).result()
            assert ledger.end(hold, settled(900, ledger.now_ms())).result()
            done[caller] += 1

    threads = [Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    assert comes_true(lambda: min(done) > 0)
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        ledger.close()


def test_a_large_ledger_in_use_moves_to_postgresql_and_back(
    loaded: Loaded, tmp_path: Path, stub_provider: Callable[..., StubProvider]
) -> None:
    """Each time every sum, the audit and the advice are right, and a call with the restored key is answered.
    A backup and a restore of 55 MB take a fraction of that in memory.
    """
    stub = stub_provider("Diversify.")
    first, last = str(tmp_path / "first.db"), str(tmp_path / "last.db")
    with Store(first) as store:
        million.fill(store, ATTEMPTS)
        for number in range(5):
            store.write(partial(records.append, draft=draft(number))).result()
        Vault(store, clients.MASTER).add("openai", "primary", Secret(clients.key_of("openai")))
    with empty_schema() as server:
        for number, (source, target) in enumerate([(first, server), (server, last)]):
            move(source, target, loaded, tmp_path / str(number))
            config = clients.configure(target, {"openai": stub.url}, without=("openai/primary",))
            nova = Supernova(config, master=clients.MASTER)
            assert asyncio.run(nova.chat("What now?")).content == "Diversify."
            nova.close()
            assert stub.requests[-1].headers["authorization"] == f"Bearer {clients.key_of('openai')}"


def move(source: str, target: str, loaded: Loaded, folder: Path) -> None:
    """Back the source up while it is used, and restore it as the target."""
    with Store(source) as store:
        vault = Vault(store, clients.MASTER)
        raw = Secret("00" * 32)  # its bytes; a name of the module would hide zeros from other tests
        vault.verify_audit()
        with callers(store) as done, taking_at_most(24 * 2**20):
            made = snapshot.create(
                store, vault, loaded, to=folder / "backups", passphrase=PASSPHRASE, master=raw
            )
        assert min(done) > 0
    place = RestorePlace(target, folder, folder / "config")
    with taking_at_most(32 * 2**20):
        restore(made.file, PASSPHRASE, inspect(made.file, PASSPHRASE), place, loaded, environ={})
    with Store(target) as restored:
        Ledger(restored, BUDGETS).sweep()
        report = verify_ledger(restored, BUDGETS, folder=folder)
        assert report.problems == ()
        assert report.checked["attempts"] == made.manifest.rows["attempt"] > ATTEMPTS
        assert restored.read(records.verify).ok
        assert Vault(restored, clients.MASTER).verify_audit().ok


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_no_mutation_of_a_backup_is_accepted(back_up: Back, source: Store, tmp_path: Path, seed: int) -> None:
    """Flipped, cut, inserted, repeated and swapped bytes are all found, and the error says which file."""
    chance = Random(seed)
    noise = AnswerRow.insert(place="p", user="", created_ms=0, expires_ms=0, sealed=chance.randbytes(300_000))
    source.write(lambda database: noise.execute(database)).result()
    whole = back_up().file.read_bytes()
    assert len(whole) > 4 * 65_552  # several chunks
    file = tmp_path / "mutated.backup"
    for number in range(1000):
        mutated = mutate(whole, chance)
        file.write_bytes(mutated)
        if mutated == whole:
            continue
        with pytest.raises(BackupError, match=r"mutated\.backup cannot be used: ") as raised:
            inspect(file, PASSPHRASE)
        assert "Traceback" not in str(raised.value), number


def mutate(data: bytes, chance: Random) -> bytes:
    """Change one or a few places."""
    at, length = chance.randrange(len(data)), chance.choice([1, 2, 16, 1000, 65_552])
    if chance.random() < 0.3:
        at = chance.randrange(80)  # the header, and the start of the first chunk
    end = min(len(data), at + length)
    other = chance.randrange(len(data))
    return chance.choice(
        [
            data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :],
            data[:at],
            data[:at] + data[end:],
            data[:at] + chance.randbytes(length) + data[at:],
            data[:end] + data[at:],
            data[:at] + chance.randbytes(end - at) + data[end:],
            data[:at] + data[other : other + end - at] + data[end:],
            data + chance.randbytes(length),
        ]
    )


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_odd_content_with_the_right_passphrase_is_an_error_too(
    back_up: Back, tmp_path: Path, seed: int, source: Store
) -> None:
    """A defect in a version that wrote it, or somebody who knows the passphrase: never a traceback."""
    chance = Random(seed)
    with back_up().file.open("rb") as whole:
        opener = Opener(whole, PASSPHRASE)
        lines = gzip.decompress(opener.readall()).splitlines(keepends=True)
    file = tmp_path / "odd.backup"
    for _ in range(300):
        odd = list(lines)
        at = chance.randrange(len(odd)) if chance.random() < 0.7 else 0
        line = odd[at]
        cut = line[: len(line) // 2]
        changed = line.replace(b'"', b"'", 1), line.replace(b"1", b"null", 1)
        others = b"", b"[]\n", b"{}\n", b"null\n", b"\xff\n", b'{"part": 1}\n', odd[-1]
        odd[at] = chance.choice([*others, *changed, cut, line * 2])
        if odd == lines:
            continue
        with file.open("wb") as out:
            header = opener.header
            sealer = Sealer(
                out, PASSPHRASE, store=header.store, created_ms=header.created_ms, cost=header.cost
            )
            sealer.write(gzip.compress(b"".join(odd), 1))
            sealer.finish()
        try:
            inspect(file, PASSPHRASE)
        except StoreError:
            continue
        assert at == 0  # a manifest that says something else of what is not checked, such as the settings
