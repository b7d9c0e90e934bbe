"""One user's data is exported completely, and made anonymous while every sum and hash chain verifies."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai import InvalidRequest, ProviderUnavailable, Reply, StoreError, Supernova, UserErased
from supernova_ai.advisor import records
from supernova_ai.config import Budget, Config, Loaded
from supernova_ai.keys import Vault
from supernova_ai.ledger import End, Entry, Ledger, Payer, batch_in
from supernova_ai.ledger.budgets import describe
from supernova_ai.ratings import Feedback, give
from supernova_ai.reload.versions import Versions
from supernova_ai.sessions import SessionKey, history
from supernova_ai.sessions.history import ExchangeCipher
from supernova_ai.store import Store, bulk, erased
from supernova_ai.store.tables import (
    TABLES,
    AnswerRow,
    AttemptRow,
    RatingRow,
    SessionTurnRow,
    Table,
    UserTokenRow,
    WindowRow,
)
from supernova_ai.store.user_tokens import user_token
from supernova_ai.testing import Failure, Received, StubProvider
from supernova_ai.types import Usage
from supernova_ai.upkeep import archive, archive_files, privacy
from tests import clients, recount
from tests.clients import vault_of
from tests.holds import entry
from tests.upkeep.sample_ledger import BUDGETS, fill, report, rows, run

NOW_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def vault(store: Store) -> Vault:
    return Vault(store, clients.MASTER)


@pytest.fixture
def kept(store: Store, vault: Vault, seed: int) -> Store:
    """A ledger of several days with two users, their advice, conversations and feedback, and an alert."""
    clock = SimpleNamespace(now=NOW_MS / 1000)
    ledger = Ledger(store, BUDGETS, clock=lambda: clock.now)
    number = iter(range(1000))

    def make(usd: str, **given: Any) -> Entry:
        name = f"attempt-{next(number)}"
        return entry(name, int(float(usd) * 1e9), int(clock.now * 1000), request=f"request-{name}", **given)

    fill(ledger, clock, make, 120, seed)
    ledger.close()
    cipher = ExchangeCipher(vault.session_cipher(), store.id, lambda count: bytes(count))

    def add(database: Any) -> None:
        for user in ("ann", "bob"):
            content = {"inputs": {"bars": "", "news": records.digest("Ann wrote this.")}}
            draft = records.RecordContent(
                f"of-{user}", 1, user, "AAPL", "buy", content, None, "Ann wrote this."
            )
            records.append(database, draft)
            history.append(database, cipher, SessionKey(user, "s"), 1, message="Hello", answer="Good day")

    store.write(add).result()
    for user in ("ann", "bob"):
        give(vault, Feedback.of(request_of(store, user), "up", f"It helped {user}."))
    run(
        store,
        "INSERT INTO alert (budget, subject, period, threshold, spent_nano, limit_nano, at_ms, state, tries, "
        "next_ms) VALUES ('each-user', 'ann', '2026-11', 50, 1, 2, 3, 'sent', 1, 0)",
    )
    return store


def request_of(store: Store, user: str) -> str:
    """Return a request of the user that was answered."""
    answered = (AttemptRow.user == user) & (AttemptRow.state == "settled") & AttemptRow.error.is_null()
    query = AttemptRow.select(AttemptRow.request).where(answered).order_by(AttemptRow.started_ms).limit(1)
    ((request,),) = store.read(lambda database: list(query.tuples().execute(database)))
    return str(request)


def everything(store: Store) -> str:
    """All rows of all tables as one text."""
    return repr([sorted(map(repr, rows(store, table))) for table in TABLES])


def total(store: Store) -> Any:
    query = "SELECT COUNT(*), SUM(cost_nano), SUM(held_nano) FROM attempt"
    return store.read(lambda database: bulk.run(database, query).fetchall())


def test_an_export_has_every_row_of_the_user(kept: Store, folder: Path, vault: Vault) -> None:
    """By table: archived attempts, advice, decrypted conversations and comments; no other user's rows."""
    before = privacy.export_user(vault_of(kept), "ann", folder=folder)
    archive.archive_attempts(vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)
    found = privacy.export_user(vault_of(kept), "ann", folder=folder)
    ids = {row[0] for row in rows(kept) if row[3] == "ann"}
    assert len(ids) < len(found["attempt"])
    assert {row["id"] for row in found["attempt"]} == {row["id"] for row in before["attempt"]}
    assert {
        row["user_id"] for row in (*found["attempt"], *found["payer_rollup"], *found["daily_rollup"])
    } == {"ann"}
    assert {row["subject"] for row in (*found["budget_window"], *found["alert"])} == {"ann"}
    assert [(row["id"], row["news"]) for row in found["advice"]] == [("of-ann", "Ann wrote this.")]
    assert [(row["message"], row["answer"]) for row in found["session_turn"]] == [("Hello", "Good day")]
    assert [(row["score"], row["comment"]) for row in found["rating"]] == [(1000, "It helped ann.")]
    json.dumps(found)


def test_erasing_removes_the_id_and_keeps_every_sum(kept: Store, folder: Path) -> None:
    """The id is in no row, bob's rows are unchanged, and ledger, sums and hash chain verify."""
    before, bob = total(kept), privacy.export_user(vault_of(kept), "bob", folder=folder)
    done = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert "'ann'" not in everything(kept)
    assert kept.read(lambda database: records.find(database, "of-ann")).news is None
    assert total(kept) == before
    assert privacy.export_user(vault_of(kept), "bob", folder=folder) == bob
    assert done.pseudonym.startswith("user-")
    assert done.rows["attempt"] == sum(row[3] == done.pseudonym for row in rows(kept)) > 0
    assert [done.rows[table] for table in ("advice", "session_turn", "alert", "rating")] == [1, 1, 1, 1]
    assert report(kept).problems == ()
    kept.read(recount.check)
    assert kept.read(records.verify).ok
    assert [row[0] for row in rows(kept, UserTokenRow)] == ["bob"]
    with pytest.raises(InvalidRequest, match="there is no data of user 'ann'"):
        privacy.export_user(vault_of(kept), "ann", folder=folder)


def test_users_of_budgets_are_erased_too(kept: Store, folder: Path) -> None:
    """A budget that names the user is in versions of the configuration, in windows and in processes."""
    vault, budget = vault_of(kept), Budget(name="of-one", limit=Decimal(500), per="day", user="ann")
    loaded = Loaded.of(Config(budgets=(budget, *BUDGETS), database=kept.where))
    Versions(kept, vault).record(loaded, "start")
    ledger = Ledger(kept, loaded.config.all_budgets, clock=lambda: NOW_MS / 1000)

    def hold(database: Any) -> None:
        with batch_in(database) as batch:
            ledger.hold(batch, entry("held", 10**9, NOW_MS, user_id="ann"))

    kept.write(hold).result()
    insert = "INSERT INTO process (id, host, pid, lease_ms, budgets) VALUES ('p', 'h', 1, 0, ?)"
    run(kept, insert, describe([budget]))
    (exported,) = privacy.export_user(vault, "ann", folder=folder)["config_version"]
    assert [row["name"] for row in exported["budgets"]] == ["of-one"]
    done = privacy.erase_user(vault, "ann", folder=folder, now_ms=NOW_MS)
    assert not re.search(r'"ann\\*"', everything(kept))
    assert (done.rows["config_version"], done.rows["process"]) == (1, 1)
    assert report(kept, budgets=loaded.config.all_budgets).problems == ()
    ledger.close()


def test_a_team_of_the_same_name_stays(kept: Store, folder: Path) -> None:
    """The window, the alert and the sums of a team, and a budget of a tag, are not the user's."""
    budgets = [
        Budget(name="each-team", limit=Decimal(5), per="day", team="*"),
        Budget(name="of-tag", limit=Decimal(5), per="day", tag={"user": "ann"}),
    ]
    ledger = Ledger(kept, budgets, thresholds=[10], clock=lambda: NOW_MS / 1000)
    one = entry("one", 10**9, NOW_MS, user_id="ann", team="ann", tags='{"user":"ann"}')
    hold = ledger.write(lambda database: ledger.hold(database, one)).result()
    assert ledger.end(hold, End("settled", 10**9, "exact", Usage(), NOW_MS)).result()
    privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    payer = Payer(None, "ann", {"user": "ann"})
    assert ledger.remaining_by_budget(["openai"], payer=payer, task="chat") == dict.fromkeys(
        ("each-team", "of-tag"), 4 * 10**9
    )
    select = "SELECT subject FROM alert WHERE budget = 'each-team'"
    assert kept.read(lambda database: bulk.run(database, select).fetchall()) == [("ann",)]
    assert report(kept).problems == ()
    ledger.close()


def test_the_audit_of_versions_names_no_user(kept: Store, folder: Path) -> None:
    """What changed is in the audit, which cannot change later, but not the user of a budget."""
    vault, budget = vault_of(kept), Budget(name="mine", limit=Decimal(5), per="day", user="ann")
    for budgets in BUDGETS, (budget,):
        Versions(kept, vault).record(Loaded.of(Config(budgets=budgets, database=kept.where)), "set")
    assert "budgets.mine" in [*vault.audit_events()][-1].details
    privacy.erase_user(vault, "ann", folder=folder, now_ms=NOW_MS)
    assert not re.search(r'"ann\\*"', everything(kept))
    assert vault.verify_audit().ok


def test_sessions_get_random_names(kept: Store, folder: Path) -> None:
    """A session's attempts and sums stay together under a random name; bob's sessions keep their names."""
    done = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)

    def names(column: str, table: str, user: str) -> set[str]:
        select = f"SELECT DISTINCT {column} FROM {table} WHERE user_id = ?"
        return {name for (name,) in kept.read(lambda d: bulk.run(d, select, user).fetchall()) if name}

    (session,) = names("session_id", "attempt", done.pseudonym)
    assert session.startswith("session-")
    assert names("session_id", "payer_rollup", done.pseudonym) == {session}
    assert names("session_id", "attempt", "bob") == {"s"}


def test_archives_are_erased_too(kept: Store, folder: Path) -> None:
    """The attempts are restored without the id, the files are deleted, and the rows can be archived again."""
    archive.archive_attempts(vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS, rows=10)
    files = {file.name for file in folder.glob("*.gz")}
    before = report(kept, folder).checked["attempts"] + report(kept, folder).checked["archived attempts"]
    done = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert set(done.restored) <= files
    assert done.restored
    assert done.left == ()
    found = report(kept, folder)
    assert found.problems == ()
    assert found.checked["attempts"] + found.checked.get("archived attempts", 0) == before
    archive.archive_attempts(vault_of(kept), folder, before_ms=NOW_MS + 80_000_000, now_ms=NOW_MS)
    assert report(kept, folder).problems == ()


def test_the_next_run_completes_an_interrupted_one(
    kept: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file was restored but not deleted, the next run deletes it."""
    archive.archive_attempts(vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)

    def crash(_: Path) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(archive_files, "delete_archive", crash)
        with pytest.raises(RuntimeError):
            privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert list(folder.glob("*.gz")) == []
    assert "'ann'" not in everything(kept)
    assert report(kept, folder).problems == ()


def test_a_file_of_an_interrupted_archive_is_named(kept: Store, folder: Path) -> None:
    """It is not changed, because an archive command may be running; the result names it."""
    (manifest,) = archive.archive_attempts(
        vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS
    )
    left = folder / manifest.file.replace(".jsonl.gz", "x.jsonl.gz")
    left.write_bytes((folder / manifest.file).read_bytes())
    done = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert done.left == (left.name,)
    assert left.exists()


def test_an_unreadable_archive_stops_erasing(kept: Store, folder: Path) -> None:
    """Nothing is erased while an archive may name the user."""
    (manifest,) = archive.archive_attempts(
        vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS
    )
    (folder / manifest.file).unlink()
    before = everything(kept)
    with pytest.raises(StoreError, match="may name the user, and cannot be read"):
        privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert everything(kept) == before


def test_no_feedback_follows_an_erasure(kept: Store, folder: Path, vault: Vault) -> None:
    """Not even from a caller who still has the id of a request; others give feedback as before."""
    requests = [request_of(kept, user) for user in ("ann", "bob")]
    privacy.erase_user(vault, "ann", folder=folder, now_ms=NOW_MS)
    with pytest.raises(UserErased, match="was erased: no feedback on it is kept"):
        give(vault, Feedback.of(requests[0], "down", "I am Ann."))
    assert give(vault, Feedback.of(requests[1], "down", None))
    assert count(kept, RatingRow) == 1


def test_a_user_who_returns_is_a_new_user(kept: Store, folder: Path) -> None:
    """The same id gets another token afterwards: nothing links the two."""
    first = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    kept.write(lambda database: user_token(database, "ann")).result()
    run(kept, "UPDATE attempt SET user_id = 'ann' WHERE id = 'attempt-0'")
    second = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert first.pseudonym != second.pseudonym


@pytest.mark.parametrize("user", ["", "carol"])
def test_an_unknown_user_is_refused(user: str, kept: Store, folder: Path) -> None:
    """Rows without a user are not exported; for a mistyped id nothing is done."""
    for act in (privacy.export_user, lambda *a, **k: privacy.erase_user(*a, **k, now_ms=NOW_MS)):
        with pytest.raises(InvalidRequest, match="there is no data of user"):
            act(vault_of(kept), user, folder=folder)


def test_every_column_that_can_name_a_user_is_known() -> None:
    """A new column of this kind must be added to the export and the erasure."""
    found = {
        (table.__name__, field.column_name)
        for table in TABLES
        for field in table._meta.sorted_fields
        if "user" in field.column_name
        or field.column_name in ("subject", "actor", "details", "message", "settings", "budgets", "scope")
    }
    replaced = {(table.__name__, column) for table, column in privacy.USER_COLUMNS.items()}
    deleted = {(name, "user_id") for name in ("SessionTurnRow", "UserTokenRow", "AnswerRow", "RatingRow")}
    of_budgets = {("ConfigVersionRow", "settings"), ("ProcessRow", "budgets"), ("WindowRow", "scope")}
    of_operators = {("AuditRow", "actor"), ("ConfigVersionRow", "actor")}
    no_user = {
        ("AuditRow", "subject"),  # a pseudonym
        ("AuditRow", "details"),
        ("AdviceRow", "user_token"),
        ("AlertRow", "message"),
        ("ErasedRow", "subject"),  # a hash
        ("PatternRow", "message"),
    }
    assert found == replaced | deleted | of_budgets | of_operators | no_user
    assert {AttemptRow, WindowRow} < set(privacy.USER_COLUMNS)
    assert SessionTurnRow in TABLES


def test_an_export_without_an_archive_fails(kept: Store, folder: Path) -> None:
    """A missing archive may have rows of the user: an export without them would look complete."""
    (manifest,) = archive.archive_attempts(
        vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS
    )
    (folder / manifest.file).unlink()
    with pytest.raises(StoreError, match="may name the user, and cannot be read"):
        privacy.export_user(vault_of(kept), "ann", folder=folder)


def test_attempts_archived_during_erasing_are_erased(
    kept: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that move into an archive after the archives were checked are found as well."""
    restore = privacy._restore_archives
    ran: list[object] = []

    def then_archive(*args: Any) -> Any:
        found = restore(*args)
        if not ran:
            ran.extend(
                archive.archive_attempts(vault_of(kept), folder, before_ms=NOW_MS + 40_000_000, now_ms=NOW_MS)
            )
        return found

    monkeypatch.setattr(privacy, "_restore_archives", then_archive)
    done = privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    assert ran
    assert done.restored
    assert list(folder.glob("*.gz")) == []
    assert "'ann'" not in everything(kept)


def test_advice_in_progress_loses_its_user(kept: Store, folder: Path) -> None:
    """Its record is kept as evidence, without the user and the news; later advice has the user."""
    began_ms = kept.now_ms()
    privacy.erase_user(vault_of(kept), "ann", folder=folder, now_ms=NOW_MS)
    content = {"inputs": {"bars": "", "news": records.digest("Ann wrote this.")}}

    def add(name: str, began_ms: int | None) -> Any:
        draft = records.RecordContent(
            name, 1, "ann", "AAPL", "buy", content, None, "Ann wrote this.", began_ms
        )
        kept.write(lambda database: records.append(database, draft)).result()
        return kept.read(lambda database: records.find(database, name))

    late = add("late", began_ms)
    assert (late.user, late.news) == (None, None)
    assert "'ann'" not in everything(kept)
    assert kept.read(records.verify).ok
    assert add("new", None).user is not None


class Desk:
    """A client over a database, key provider runs ``meanwhile`` before it answers."""

    def __init__(self, where: str, providers: int = 1, **settings: Any) -> None:
        self.where = where
        self.meanwhile: Callable[[Store], object] = lambda _: None
        self.replies: list[Any] = []
        self.stubs = [StubProvider(self._answer) for _ in range(providers)]
        names = ("openai", "anthropic")
        self._opened = ExitStack()
        urls = {
            name: self._opened.enter_context(stub).url for name, stub in zip(names, self.stubs, strict=False)
        }
        budgets = [{"name": "each", "limit": 10, "per": "month", "user": "*"}]
        config = clients.configure(
            where,
            urls,
            budgets=budgets,
            sessions={"history": True},
            cache={"type": "disk"},
            **settings,
        )
        self.nova = Supernova(config, master=clients.MASTER)
        self._opened.callback(self.nova.close)

    def _answer(self, _: Received) -> Any:
        with Store(self.where) as other:
            self.meanwhile(other)
        self.meanwhile = lambda _: None
        return self.replies.pop(0) if self.replies else "Good day."

    async def say(self, message: str, **options: Any) -> Reply:
        return await self.nova.chat(message, user_id="ann", session_id="s", **options)

    async def __aenter__(self) -> Desk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._opened.close)


def count(store: Store, table: type[Table]) -> int:
    return len(rows(store, table))


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
async def test_a_call_during_its_users_erasure_stores_nothing(
    streaming: bool, where: str, folder: Path
) -> None:
    """It is answered but not stored, and its attempt has the pseudonym; a later call is of a new user."""
    async with Desk(where) as at:
        await at.say("Hello?")
        at.meanwhile = lambda other: privacy.erase_user(vault_of(other), "ann", folder=folder, now_ms=NOW_MS)
        assert (await at.say("And now?", streaming=streaming)).content == "Good day."
        with Store(where) as store:
            assert "'ann'" not in everything(store)
            assert (count(store, SessionTurnRow), count(store, AnswerRow), count(store, AttemptRow)) == (
                0,
                0,
                2,
            )
            assert len({row[3] for row in rows(store)}) == 1
            assert report(store, folder).problems == ()
            store.read(recount.check)
            await at.say("And now?")
            assert (count(store, SessionTurnRow), count(store, AnswerRow), count(store, WindowRow)) == (
                1,
                1,
                2,
            )
            found = privacy.export_user(vault_of(store), "ann", folder=folder)
            assert "Good day." in found["answer"][0]["text"]


async def test_the_quality_of_an_answer_during_an_erasure_names_nobody(where: str, folder: Path) -> None:
    """It is kept with the attempt, under the pseudonym."""
    async with Desk(where) as at:
        await at.say("Hello?")
        at.meanwhile = lambda other: privacy.erase_user(vault_of(other), "ann", folder=folder, now_ms=NOW_MS)
        await at.nova.analyze("Rates rose.", tier="standard", user_id="ann")
    with Store(where) as store:
        assert "'ann'" not in everything(store)
        assert count(store, RatingRow) == 1
        assert report(store, folder).problems == ()


async def test_nothing_more_is_sent_for_an_erased_user(where: str, folder: Path) -> None:
    """A call key first attempt failed asks no other provider: the ledger would name the user again."""
    async with Desk(where, 2) as at:
        await at.say("Hello?")
        at.replies = [Failure(500)]
        at.meanwhile = lambda other: privacy.erase_user(vault_of(other), "ann", folder=folder, now_ms=NOW_MS)
        with pytest.raises(UserErased, match="erased while this call was running"):
            await at.say("And now?")
        assert [len(stub.requests) for stub in at.stubs] == [2, 0]
        with Store(where) as store:
            assert "'ann'" not in everything(store)


async def test_a_call_during_its_sessions_deletion_is_not_stored(where: str) -> None:
    """The session stays empty; later calls are stored."""
    async with Desk(where) as at:
        await at.say("Hello?")
        loop = asyncio.get_running_loop()
        at.meanwhile = lambda _: asyncio.run_coroutine_threadsafe(
            at.nova.forget("s", user_id="ann"), loop
        ).result()
        await at.say("And now?")
        with Store(where) as store:
            assert count(store, SessionTurnRow) == 0
            await at.say("Still there?")
            assert count(store, SessionTurnRow) == 1


async def test_an_attempt_after_its_key_was_removed_is_not_sent(where: str) -> None:
    """The second attempt of a call finds that the key slot is empty."""
    async with Desk(where, routing={"retries": 3}) as at:
        at.replies = [Failure(500)]
        at.meanwhile = lambda other: Vault(other, clients.MASTER).remove("openai", "primary")
        with pytest.raises(ProviderUnavailable):
            await at.say("Hello?")
        assert len(at.stubs[0].requests) == 1


def test_a_summary_does_not_restore_deleted_turns(kept: Store, vault: Vault) -> None:
    """If an exchange was deleted after it was read, the summary of it is not stored."""
    cipher = ExchangeCipher(vault.session_cipher(), kept.id, lambda count: bytes(count))
    whose = SessionKey("bob", "s")
    old = kept.read(lambda database: history.read(database, cipher, whose, 0))
    kept.write(lambda database: history.prune(database, before_ms=2)).result()
    kept.write(lambda database: history.replace(database, cipher, whose, old, "In short.")).result()
    assert kept.read(lambda database: history.read(database, cipher, whose, 0)) == []


def is_erased(store: Store, began_ms: int | None) -> bool:
    return store.read(lambda database: erased.since(database, "ann", began_ms=began_ms))


def test_a_tombstone_lasts_a_day(store: Store) -> None:
    """It applies to calls that began before it or in the same millisecond; a day later it is deleted."""
    store.write(lambda database: erased.mark(database, "ann", now_ms=1000)).result()
    assert [is_erased(store, began_ms) for began_ms in (999, 1000, 1001, None)] == [True, True, False, False]
    store.write(lambda database: erased.expire(database, now_ms=1000 + erased.KEPT_MS)).result()
    assert is_erased(store, 999)
    store.write(lambda database: erased.expire(database, now_ms=1001 + erased.KEPT_MS)).result()
    assert not is_erased(store, 999)


def test_a_call_that_begins_after_an_erasure_is_not_affected(store: Store) -> None:
    """Even if the database commits within a millisecond."""
    for _ in range(300):
        store.write(lambda database: erased.mark(database, "ann", now_ms=store.now_ms())).result()
        assert not is_erased(store, store.now_ms())
