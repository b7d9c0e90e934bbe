"""Each job does what its command does, with the configuration in force."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.alerts.outbox import list_alerts, record_notice
from supernova_ai.config import Config, Loaded
from supernova_ai.keys import Vault
from supernova_ai.operations.backup import snapshot
from supernova_ai.operations.backup.container import Cost
from supernova_ai.operations.backup.retention import backups_in
from supernova_ai.operations.jobs import work
from supernova_ai.operations.jobs.job import DAY_MS, Context, JobFailed, Outcome
from supernova_ai.secret import Secret
from supernova_ai.store import Store, erased
from supernova_ai.store.tables import (
    AlertRow,
    AnswerRow,
    ConfigVersionRow,
    ErasedRow,
    RatingRow,
    SessionTurnRow,
    WindowRow,
)
from supernova_ai.testing import Failure, StubProvider
from tests import clients
from tests.alerts.alert_service import Service, spend

NOW_MS = int(datetime(2026, 11, 3, 2, tzinfo=UTC).timestamp() * 1000)  # a Tuesday

Do = Callable[..., str]


@pytest.fixture
def do(store: Store) -> Do:
    """Do the work of a job with these settings, its last change included, and return what it says."""

    def run(job: Callable[[Context], Outcome], now_ms: int = NOW_MS, **settings: Any) -> str:
        loaded = Loaded.of(Config.model_validate(settings))
        outcome = job(Context(store, Vault(store, clients.MASTER), loaded, now_ms))
        return outcome if isinstance(outcome, str) else store.write(outcome).result()

    return run


def count(store: Store, table: Any) -> int:
    return store.read(lambda database: int(table.select().count(database)))


def test_alerts_are_sent(do: Do, store: Store) -> None:
    """With a URL, what is in the outbox goes there; without one it stays, and is not taken for sent."""

    def notify(database: Database) -> None:
        record_notice(database, "job", "backup", "today", title="Failed", text="why", now_ms=store.now_ms())

    store.write(notify).result()
    assert do(work.alerts) == "none sent: alerts.notify is empty"
    service = Service()
    try:
        said = do(work.alerts, alerts={"notify": [service.url]}, require_tls=False)
    finally:
        service.close()
    assert said == "1 alert to send"
    assert [got["title"] for got in service.got] == ["Failed"]
    assert [row.state for row in store.read(list_alerts)] == ["sent"]


def test_probes(do: Do, stub_provider: Callable[..., StubProvider]) -> None:
    """Every provider is asked without cost; if none answers the job fails."""

    def settings(address: str) -> dict[str, Any]:
        ollama = {"api_base": address, "models": {"standard": "llama3.1"}, "keys": [], "price": "free"}
        return {"providers": {"ollama": ollama}, "routing": {"priority": ["ollama"]}}

    assert do(work.probes, **settings(stub_provider("hello").url)) == "1 of 1 key answered"
    with pytest.raises(JobFailed, match=r"^no provider answers \(ollama ProviderUnavailable\)"):
        do(work.probes, **settings("http://127.0.0.1:9"))


def test_expiry(do: Do, store: Store) -> None:
    """Old exchanges, expired answers, old alerts and tombstones go; what is not due stays."""

    def fill(database: Database) -> None:
        erased.mark(database, "ann", now_ms=NOW_MS - 2 * DAY_MS)
        for number, days in enumerate((31, 29)):
            at_ms = NOW_MS - days * DAY_MS
            SessionTurnRow.insert(user="ann", session="s", number=number, at_ms=at_ms, sealed=b"").execute(
                database
            )
        for place, expires_ms in (("old", NOW_MS), ("new", NOW_MS + 1)):
            AnswerRow.insert(
                place=place, user="ann", created_ms=0, expires_ms=expires_ms, sealed=b""
            ).execute(database)
        for period, days in (("old", 401), ("new", 399)):
            at_ms = NOW_MS - days * DAY_MS
            record_notice(database, "job", "backup", period, title="", text="", now_ms=at_ms)

    store.write(fill).result()
    assert do(work.expiry) == "3 rows deleted"
    assert [count(store, table) for table in (SessionTurnRow, AnswerRow, AlertRow, ErasedRow)] == [1, 1, 1, 0]


def test_old_ratings_go(do: Do, store: Store) -> None:
    """With ``retention.ratings`` the ratings of older requests are deleted; without it all stay."""

    def fill(database: Database) -> None:
        for days in (1, 3):
            texts = dict.fromkeys(("user", "provider", "model", "task", "prompt"), "x")
            started_ms = NOW_MS - days * DAY_MS
            RatingRow.insert(request=str(days), started_ms=started_ms, score=1, **texts).execute(database)

    store.write(fill).result()
    assert do(work.expiry) == "0 rows deleted"
    assert do(work.expiry, retention={"ratings": 2}) == "1 row deleted"
    assert count(store, RatingRow) == 1


def test_old_versions_of_the_configuration_go(do: Do, store: Store) -> None:
    """With ``retention.versions`` older versions are deleted, but never the latest."""

    def fill(database: Database) -> None:
        for number in (1, 2, 3):
            ConfigVersionRow.insert(
                number=number,
                at_ms=NOW_MS - (50 - number) * DAY_MS,
                **dict.fromkeys(("version", "content_hash", "environment", "actor", "cause"), "x"),
                settings="{}",
            ).execute(database)

    store.write(fill).result()
    assert do(work.expiry) == "0 rows deleted"
    assert do(work.expiry, retention={"versions": 48}) == "1 row deleted"
    assert do(work.expiry, retention={"versions": 1}) == "1 row deleted"
    assert store.read(
        lambda database: [row.number for row in ConfigVersionRow.select().execute(database)]
    ) == [3]


def test_reports_are_written_and_sent(
    do: Do, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the configured periods, each once; with 'send' a message has the sums and names the file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    spend(store, NOW_MS // 3_600_000 - 12, "1.25")
    settings = {"periods": ["day"], "folder": "~/reports", "send": True}
    assert do(work.reports, reports=settings) == "2 files written"
    assert do(work.reports, reports=settings) == "0 files written"
    assert sorted(file.name for file in (tmp_path / "reports").iterdir()) == [
        "costs-2026-11-02.csv",
        "costs-2026-11-02.json",
    ]
    (row,) = store.read(list_alerts)
    title, text, urgent = json.loads(row.message or "")
    assert (title, urgent) == ("Costs of 2026-11-02: $1.25", False)
    assert text.splitlines()[:2] == ["1 attempt", "openai: $1.25"]


def test_nothing_is_archived_without_a_setting(do: Do) -> None:
    """A job that is called although its setting is null touches nothing."""
    assert "every attempt stays" in do(work.archive, retention={"attempts": None})
    assert "every record stays" in do(work.advice, retention={"advice": None})
    assert do(work.archive, retention={"attempts": 30}) == "0 archived"
    assert do(work.advice, retention={"advice": 30}) == "0 deleted"


def test_a_wrong_sum_fails_the_check(do: Do, store: Store) -> None:
    """The job names what is wrong, and the command that shows more."""
    assert do(work.verify) == "all right"
    row = {"budget": "daily", "subject": "", "period": "2026-11-03", "settled": 5}
    store.write(WindowRow.insert(row).execute).result()
    with pytest.raises(JobFailed, match=r"^ledger: .*daily.* \(see `supernova ledger verify`\)$"):
        do(work.verify)


def test_backups_are_made_and_pruned(do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run writes one; of those of one day the last is kept. Without a passphrase the job says so.

    The configured path is a folder, whatever its name.
    """
    monkeypatch.setattr(snapshot, "COST", Cost(log_n=4))
    with pytest.raises(JobFailed, match=r"set backup\.passphrase_file"):
        do(work.backup)
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("correct horse battery")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = {"to": "~/nova.backups", "passphrase_file": "~/passphrase"}
    assert do(work.backup, backup=settings).endswith("bytes written, 0 old files deleted")
    assert do(work.backup, backup=settings).endswith("bytes written, 1 old file deleted")
    assert len(backups_in(tmp_path / "nova.backups")) == 1


def test_keys_are_checked_and_reminded_of(
    do: Do, store: Store, stub_provider: Callable[..., StubProvider]
) -> None:
    """An old key gets a reminder, once. A key that the provider refuses fails the job."""
    stub = stub_provider()
    openai = {"api_base": f"{stub.url}/v1", "models": {"standard": "gpt-4o-mini"}}
    settings: dict[str, Any] = {"providers": {"openai": openai}, "routing": {"priority": ["openai"]}}
    assert do(work.keys, **settings) == "0 keys checked, 0 new reminders"
    Vault(store, clients.MASTER).add("openai", "primary", Secret(clients.key_of("openai")))
    later_ms = store.now_ms() + 91 * DAY_MS
    assert do(work.keys, later_ms, **settings) == "1 key checked, 1 new reminder"
    assert do(work.keys, later_ms, **settings) == "1 key checked, 0 new reminders"
    stub.probe = Failure(401)
    with pytest.raises(JobFailed, match=r"^openai/primary AuthenticationFailed; `supernova keys check`"):
        do(work.keys, **settings)
    assert do(work.revoke) == "0 replaced keys revoked"


def test_log_files_are_rotated_by_age(do: Do, tmp_path: Path) -> None:
    """A file of an earlier day is rotated although nobody writes to it, and rotated ones that are old go."""
    file = tmp_path / "logs" / "nova.log"
    settings = {"file": str(file), "keep_days": 30}
    assert do(work.logs, logs=settings) == "rotated and tidied"
    file.write_text("yesterday\n")
    old = file.with_name("nova.log.2026-01-01.1.gz")
    old.touch()
    yesterday = time.time() - 86_400
    os.utime(file, (yesterday, yesterday))
    os.utime(old, (0, 0))
    do(work.logs, logs=settings)
    (rotated,) = [found for found in file.parent.iterdir() if found.stat().st_size]
    assert gzip.decompress(rotated.read_bytes()) == b"yesterday\n"
    assert not old.exists()


def test_holds_of_dead_processes(do: Do) -> None:
    """The job says how many there were."""
    assert do(work.holds) == "0 holds became lost"
