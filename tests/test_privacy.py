"""One user's data is handed out whole, and who it is of can be forgotten while every sum and chain holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import InvalidRequest, StoreError, privacy
from supernova_ai.advisor import records
from supernova_ai.keys import Vault
from supernova_ai.ledger import Entry, Ledger, archive, archive_files
from supernova_ai.sessions import Whose, turns
from supernova_ai.sessions.turns import Seal
from supernova_ai.store import Store, bulk
from supernova_ai.store.tables import TABLES, Attempt, SessionTurn, UserToken, Window
from tests import books, desk
from tests.entries import entry
from tests.ledger.keeping import BUDGETS, fill, report, rows, run

NOW_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def vault(store: Store) -> Vault:
    return Vault(store, desk.MASTER)


@pytest.fixture
def kept(store: Store, vault: Vault, seed: int) -> Store:
    """A ledger of several days with two users, their advice, conversations and an alert."""
    clock = SimpleNamespace(now=NOW_MS / 1000)
    ledger = Ledger(store, BUDGETS, clock=lambda: clock.now)
    number = iter(range(1000))

    def make(usd: str, **given: Any) -> Entry:
        return entry(f"attempt-{next(number)}", int(float(usd) * 1e9), int(clock.now * 1000), **given)

    fill(ledger, clock, make, 120, seed)
    ledger.close()
    seal = Seal(vault.session_cipher(), store.id, lambda count: bytes(count))

    def add(database: Any) -> None:
        for user in ("ann", "bob"):
            content = {"inputs": {"bars": "", "news": records.digest("Ann wrote this.")}}
            draft = records.Draft(f"of-{user}", 1, user, "AAPL", "buy", content, None, "Ann wrote this.")
            records.append(database, draft)
            turns.append(database, seal, Whose(user, "s"), 1, message="Hello", answer="Good day")

    store.write(add).result()
    run(
        store,
        "INSERT INTO alert (budget, subject, period, threshold, spent_nano, limit_nano, at_ms, state, tries, "
        "next_ms) VALUES ('each-user', 'ann', '2026-11', 50, 1, 2, 3, 'sent', 1, 0)",
    )
    return store


def everything(store: Store) -> str:
    """All rows of all tables as one text."""
    return repr([sorted(map(repr, rows(store, table))) for table in TABLES])


def total(store: Store) -> Any:
    query = "SELECT COUNT(*), SUM(cost_nano), SUM(held_nano) FROM attempt"
    return store.read(lambda database: bulk.run(database, query).fetchall())


def test_an_export_has_every_row_of_the_user(kept: Store, folder: Path, vault: Vault) -> None:
    """By table, archived attempts too; advice with its news, conversations opened; and nobody else's."""
    before = privacy.export(kept, "ann", folder=folder, vault=vault)
    archive.archive(kept, folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)
    found = privacy.export(kept, "ann", folder=folder, vault=vault)
    ids = {row[0] for row in rows(kept) if row[3] == "ann"}
    assert len(ids) < len(found["attempt"])
    assert {row["id"] for row in found["attempt"]} == {row["id"] for row in before["attempt"]}
    assert {
        row["user_id"] for row in (*found["attempt"], *found["payer_rollup"], *found["daily_rollup"])
    } == {"ann"}
    assert {row["subject"] for row in (*found["budget_window"], *found["alert"])} == {"ann"}
    assert [(row["id"], row["news"]) for row in found["advice"]] == [("of-ann", "Ann wrote this.")]
    assert [(row["message"], row["answer"]) for row in found["session_turn"]] == [("Hello", "Good day")]
    json.dumps(found)


def test_erasing_leaves_no_trace_and_every_sum(kept: Store, folder: Path) -> None:
    """The id is nowhere any more, bob is untouched, and ledger, books and chain are as right as before."""
    before, bob = total(kept), privacy.export(kept, "bob", folder=folder)
    done = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert "'ann'" not in everything(kept)
    assert kept.read(lambda database: records.find(database, "of-ann")).news is None
    assert total(kept) == before
    assert privacy.export(kept, "bob", folder=folder) == bob
    assert done.pseudonym.startswith("user-")
    assert done.rows["attempt"] == sum(row[3] == done.pseudonym for row in rows(kept)) > 0
    assert (done.rows["advice"], done.rows["session_turn"], done.rows["alert"]) == (1, 1, 1)
    assert report(kept).problems == ()
    kept.read(books.check)
    assert kept.read(records.verify).ok
    assert [row[0] for row in rows(kept, UserToken)] == ["bob"]
    with pytest.raises(InvalidRequest, match="nothing is known of user 'ann'"):
        privacy.export(kept, "ann", folder=folder)


def test_sessions_lose_their_names_alike(kept: Store, folder: Path) -> None:
    """A session's attempts and sums keep belonging together, under a name by chance; bob's keep theirs."""
    done = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)

    def names(column: str, table: str, user: str) -> set[str]:
        select = f"SELECT DISTINCT {column} FROM {table} WHERE user_id = ?"
        return {name for (name,) in kept.read(lambda d: bulk.run(d, select, user).fetchall()) if name}

    (session,) = names("session_id", "attempt", done.pseudonym)
    assert session.startswith("session-")
    assert names("session_id", "payer_rollup", done.pseudonym) == {session}
    assert names("session_id", "attempt", "bob") == {"s"}


def test_archives_are_erased_too(kept: Store, folder: Path) -> None:
    """Their attempts come back without the id, the files are gone, and they can be archived anew."""
    archive.archive(kept, folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS, rows=10)
    files = {file.name for file in folder.glob("*.gz")}
    before = report(kept, folder).checked["attempts"] + report(kept, folder).checked["archived attempts"]
    done = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert set(done.restored) <= files
    assert done.restored
    assert done.left == ()
    found = report(kept, folder)
    assert found.problems == ()
    assert found.checked["attempts"] + found.checked.get("archived attempts", 0) == before
    archive.archive(kept, folder, before_ms=NOW_MS + 80_000_000, now_ms=NOW_MS)
    assert report(kept, folder).problems == ()


def test_a_crash_amid_erasing_is_mended_by_the_next_run(
    kept: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored and not yet deleted: the next run finds the file and deletes it."""
    archive.archive(kept, folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)

    def crash(_: Path) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(archive_files, "discard", crash)
        with pytest.raises(RuntimeError):
            privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert list(folder.glob("*.gz")) == []
    assert "'ann'" not in everything(kept)
    assert report(kept, folder).problems == ()


def test_a_file_of_an_interrupted_archive_is_named(kept: Store, folder: Path) -> None:
    """It is not touched, for an archive run may be under way; whoever erases is told."""
    (manifest,) = archive.archive(kept, folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)
    left = folder / manifest.file.replace(".jsonl.gz", "x.jsonl.gz")
    left.write_bytes((folder / manifest.file).read_bytes())
    done = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert done.left == (left.name,)
    assert left.exists()


def test_an_archive_that_cannot_be_read_stops_it(kept: Store, folder: Path) -> None:
    """Nothing is erased while nobody can say whether the user is in there."""
    (manifest,) = archive.archive(kept, folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)
    (folder / manifest.file).unlink()
    before = everything(kept)
    with pytest.raises(StoreError, match="may name the user, and cannot be read"):
        privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert everything(kept) == before


def test_who_comes_back_is_somebody_new(kept: Store, folder: Path) -> None:
    """The same id gets another token afterwards: nothing links the two."""
    first = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    kept.write(lambda database: records.token(database, "ann")).result()
    run(kept, "UPDATE attempt SET user_id = 'ann' WHERE id = 'attempt-0'")
    second = privacy.erase(kept, "ann", folder=folder, now_ms=NOW_MS)
    assert first.pseudonym != second.pseudonym


@pytest.mark.parametrize("user", ["", "carol"])
def test_of_nobody_there_is_nothing(user: str, kept: Store, folder: Path) -> None:
    """Rows that belong to nobody are nobody's; a mistyped id is said, and nothing is done."""
    for act in (privacy.export, lambda *a, **k: privacy.erase(*a, **k, now_ms=NOW_MS)):
        with pytest.raises(InvalidRequest, match="nothing is known of user"):
            act(kept, user, folder=folder)


def test_every_column_that_can_name_a_user_is_known() -> None:
    """Whoever adds one decides what an export and an erasure do with it."""
    found = {
        (table.__name__, field.column_name)
        for table in TABLES
        for field in table._meta.sorted_fields
        if field.column_name == "subject" or "user" in field.column_name
    }
    replaced = {(table.__name__, column) for table, column in privacy.PLACES.items()}
    deleted = {("SessionTurn", "user_id"), ("UserToken", "user_id")}
    no_user = {("Audit", "subject"), ("Advice", "user_token")}
    assert found == replaced | deleted | no_user
    assert {Attempt, Window} < set(privacy.PLACES)
    assert SessionTurn in TABLES
