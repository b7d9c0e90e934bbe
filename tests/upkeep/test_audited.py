"""Every operation on the ledger, records of advice and personal data leaves a row in the audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernova_ai import Supernova
from supernova_ai.advisor import records
from supernova_ai.config import Config
from supernova_ai.ledger import Ledger
from supernova_ai.store import Store, bulk
from supernova_ai.upkeep import archive, privacy, reconcile
from supernova_ai.upkeep.copy import copy_ledger
from supernova_ai.upkeep.reconcile import Correction
from tests import clients
from tests.clients import vault_of
from tests.databases import new_file
from tests.holds import place_hold, settled


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """A ledger with one settled attempt, of ann."""
    ledger = Ledger(store, ())
    hold = ledger.write(place_hold(ledger, "one", 5, user_id="ann")).result()
    assert ledger.end(hold, settled(5, ledger.now_ms())).result()
    return ledger


def last(store: Store) -> tuple[str, str, str]:
    (*_, row) = vault_of(store).audit_events()
    assert vault_of(store).verify_audit().ok
    return row.event, row.subject, row.details


def test_a_correction_of_the_ledger(ledger: Ledger, store: Store) -> None:
    """A settled attempt is named with its cost before and after; a refused correction leaves no row."""
    correction = Correction("one", 7, "the bill says so")
    reconcile.settle_attempt(vault_of(store), correction, lambda *_: None, now_ms=ledger.now_ms())
    assert last(store) == ("ledger.settled", "one", '{"after_nano": 7, "before_nano": 5}')


def test_an_archive_and_its_restoration(ledger: Ledger, store: Store, tmp_path: Path) -> None:
    """Both name the file and its rows."""
    now_ms = ledger.now_ms() + 60_000
    (made,) = archive.archive_attempts(vault_of(store), tmp_path, before_ms=now_ms, now_ms=now_ms)
    assert last(store)[:2] == ("ledger.archived", made.file)
    archive.restore_attempts(vault_of(store), tmp_path / made.file, now_ms=now_ms)
    assert last(store) == ("ledger.restored", made.file, '{"rows": 1}')


def test_an_export_and_an_erasure_name_the_pseudonym(ledger: Ledger, store: Store, tmp_path: Path) -> None:
    """Neither row has the user's id: the audit must not undo the erasure."""
    privacy.export_user(vault_of(store), "ann", folder=tmp_path)
    exported = last(store)
    done = privacy.erase_user(vault_of(store), "ann", folder=tmp_path, now_ms=ledger.now_ms())
    assert exported[:2] == ("privacy.exported", done.pseudonym)
    assert last(store)[:2] == ("privacy.erased", done.pseudonym)
    rows = store.read(lambda database: bulk.run(database, "SELECT subject, details FROM audit").fetchall())
    assert "ann" not in repr(rows)


def test_a_copy(ledger: Ledger, store: Store, tmp_path: Path) -> None:
    """The copy's audit begins with where it comes from, and ends with how many rows it has."""
    ledger.close()
    with Store(new_file(tmp_path / "copy.db")) as target:
        copy_ledger(store, vault_of(target))
        rows = [(row.event, row.subject) for row in vault_of(target).audit_events()]
        assert rows == [("ledger.copy.begun", store.id), ("ledger.copied", store.id)]


def test_pruned_advice(store: Store) -> None:
    """The row has the number of records; a run that deletes nothing leaves none."""
    draft = records.RecordContent("a", 1, None, "AAPL", "buy", {"inputs": {}}, None, None)
    store.write(lambda database: records.append(database, draft)).result()
    records.prune(vault_of(store), before_ms=2, now_ms=9)
    assert last(store) == ("advice.pruned", "advice", '{"before_ms": 2, "records": 1}')
    records.prune(vault_of(store), before_ms=2, now_ms=9)
    assert len(list(vault_of(store).audit_events())) == 1


async def test_a_forgotten_session(where: str) -> None:
    """The row has the user's pseudonym and how many exchanges were deleted, not the session's name."""
    nova = Supernova(Config(database=where), master=clients.MASTER)
    try:
        await nova.forget("her talk", user_id="ann")
    finally:
        nova.close()
    with Store(where) as store:
        event, subject, details = last(store)
    assert (event, details) == ("sessions.forgotten", '{"exchanges": 0}')
    assert subject.startswith("user-")
