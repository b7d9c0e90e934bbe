"""Each check of ``supernova doctor`` finds the fault it looks for, and is silent without it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai.keys import Vault, lifecycle
from supernova_ai.operations.checks import budgets, files, keys, machine, records, settings
from supernova_ai.operations.findings import Finding
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AuditRow, JobRow, KeyRow, LeaderRow
from tests.operations.conftest import Look

DAY_MS = 86_400_000
KEY = Secret("sk-test-0123456789abcdef")


def severities(found: Iterator[Finding]) -> list[str]:
    return [finding.severity for finding in found]


def only(found: Iterator[Finding], severity: str) -> list[str]:
    return [finding.text for finding in found if finding.severity == severity]


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ((3, 40, 1), "warning"),
        ((3, 44, 6), "ok"),
        ((3, 50, 6), "warning"),
        ((3, 51, 3), "ok"),
        ((4, 0, 0), "ok"),
    ],
)
def test_sqlite_with_the_wal_reset_bug_is_a_warning(
    subject: Look, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], severity: str
) -> None:
    """Releases before 3.51.3 have the bug, but for those it was mended in afterwards."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert severities(machine.sqlite(subject())) == [severity]


def test_a_package_that_is_too_old_or_known_bad_is_an_error(
    subject: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed versions are compared with those that this package requires."""
    real = metadata.version
    monkeypatch.setattr(machine, "version", lambda name: "1.82.7" if name == "litellm" else real(name))
    (text,) = only(machine.packages(subject()), "error")
    assert text.startswith("litellm 1.82.7 is installed, and ")


@pytest.mark.parametrize(("free", "severity"), [(2**40, "ok"), (2**29, "warning"), (2**20, "error")])
def test_little_disk_is_told(
    subject: Look, monkeypatch: pytest.MonkeyPatch, free: int, severity: str
) -> None:
    """Without space no call can be recorded."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert severities(machine.disk(subject())) == [severity]


def test_a_database_may_be_a_url_of_a_file(subject: Look, tmp_path: Path) -> None:
    """It is a file for these checks too."""
    database = f"sqlite:///{tmp_path / 'nova.db'}"
    assert only(machine.disk(subject(database=database)), "ok")
    assert severities(machine.sqlite(subject(database=database))) != []


@pytest.mark.parametrize("name", ["../supernova.db", "master.key"])
def test_files_that_others_can_change_are_found_and_mended(
    subject: Look, supernova_home: Path, name: str
) -> None:
    """The finding's fix takes the rights away from others."""
    supernova_home.mkdir(mode=0o700)
    file = (supernova_home / name).resolve()
    file.touch()
    file.chmod(0o666)
    found = [finding for finding in files.permissions(subject()) if str(file) in finding.text]
    assert [finding.severity for finding in found] == ["warning"]
    assert found[0].fix is not None
    found[0].fix()
    assert file.stat().st_mode & 0o777 == 0o600
    assert severities(files.permissions(subject())) == ["ok"]


@pytest.mark.parametrize(
    ("given", "useless"),
    [
        ([("day", "day", "50"), ("month", "month", "1000")], []),
        ([("day", "day", "50"), ("month", "month", "1550")], ["month"]),
        ([("day", "day", "1000"), ("month", "month", "1000")], ["day"]),
        ([("week", "week", "10"), ("day", "day", "9")], []),
        ([("one", "day", "10"), ("two", "day", "10")], ["two"]),
    ],
)
def test_a_budget_that_can_never_bind_is_told(
    subject: Look, given: list[tuple[str, str, str]], useless: list[str]
) -> None:
    """Another budget of the same calls always stops them before."""
    limits = [{"name": name, "per": per, "limit": limit} for name, per, limit in given]
    texts = only(budgets.limits(subject(budgets=limits)), "note")
    assert [text.split()[1] for text in texts] == useless


def test_a_budget_of_one_provider_does_not_stop_the_others(subject: Look) -> None:
    """A narrow budget makes a wide one useless never; a wide one may make a narrow one useless."""
    limits = [
        {"name": "all", "per": "day", "limit": 10},
        {"name": "small", "per": "day", "limit": 1, "provider": "openai"},
        {"name": "large", "per": "day", "limit": 20, "provider": "openai"},
    ]
    (text,) = only(budgets.limits(subject(budgets=limits)), "note")
    assert "budget large " in text


def test_a_budget_that_refuses_every_call_is_an_error(subject: Look) -> None:
    """Its limit is below what the cheapest call can cost."""
    limit = {"name": "tiny", "per": "day", "limit": "0.000001", "provider": "openai"}
    found = list(budgets.limits(subject(budgets=[limit])))
    (text,) = only(iter(found), "error")
    assert "tiny" in text
    assert "refuses every call" in text
    assert only(iter(found), "ok") == ["1 budget, of which 1 can stop a call"]


def test_a_clock_behind_the_latest_attempt_is_told(
    subject: Look, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """A clock that was put back would open budgets of days that are over."""
    from tests.holds import entry, insert_hold

    ahead = entry("a", 1, store.now_ms() + DAY_MS)
    store.write(lambda database: insert_hold(database, ahead, now_ms=ahead.started_ms)).result()
    (text,) = only(machine.clock(subject()), "warning")
    assert "behind" in text


@pytest.mark.parametrize(
    ("schedule", "age_days", "severity"),
    [
        ("off", 1, "ok"),
        ("daily", 1, "ok"),
        ("daily", 3, "error"),
        ("weekly", 8, "ok"),
        ("off", 30, "warning"),
    ],
)
def test_the_age_of_the_last_backup(
    subject: Look, vault: Vault, store: Store, schedule: str, age_days: int, severity: str
) -> None:
    """A backup that is overdue by its schedule is an error."""
    vault.audited(lambda _, record: record("backup.created", "a"))
    at_ms = store.now_ms() - age_days * DAY_MS
    store.write(lambda database: AuditRow.update(at_ms=at_ms).execute(database)).result()
    assert severities(records.backups(subject(backup={"schedule": schedule}))) == [severity]


def test_jobs_that_fail_or_do_not_run_are_told(subject: Look, store: Store) -> None:
    """The outcome of each job's last run is in the database."""
    assert severities(records.jobs(subject())) == ["note"]

    def write(database: Database) -> None:
        at_ms = store.now_ms() - 3 * DAY_MS
        row = {"name": "verify", "fence": 1, "runs": 1, "failures": 1, "outcome": "a sum is wrong"}
        JobRow.insert(row, started_ms=at_ms, ended_ms=at_ms).execute(database)

    store.write(write).result()
    assert severities(records.jobs(subject())) == ["warning", "warning"]
    leader = LeaderRow.insert(role="jobs", holder="me", fence=1, until_ms=store.now_ms() + 60_000)
    store.write(leader.execute).result()
    assert severities(records.jobs(subject())) == ["warning", "ok"]


def test_a_broken_audit_chain_is_an_error(subject: Look, vault: Vault, store: Store) -> None:
    """The check names the first wrong row."""
    vault.add("openai", "primary", KEY)
    assert severities(records.audit(subject())) == ["ok"]
    store.write(
        lambda database: AuditRow.update(subject="x").where(AuditRow.number == 2).execute(database)
    ).result()
    (text,) = only(records.audit(subject()), "error")
    assert "row 2" in text


def test_damage_of_the_file_is_an_error(subject: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own check decides."""
    monkeypatch.setattr(records, "damaged_rows", lambda *_: [("row 1 missing from index x",)])
    assert severities(records.database(subject())) == ["error"]


def test_a_provider_without_a_key_is_told(subject: Look, vault: Vault) -> None:
    """Calls do not ask it."""
    config: dict[str, Any] = {"routing": {"priority": ["openai", "anthropic"]}}
    assert severities(keys.slots(subject(**config))) == ["note", "note", "warning"]
    vault.add("openai", "backup", KEY)
    assert only(keys.slots(subject(**config)), "ok") == ["usable providers: openai"]


def test_keys_that_need_a_person_are_told(subject: Look, vault: Vault, store: Store) -> None:
    """An old or expired key, and a rotation that failed or did not finish, each with the remedy."""
    vault.add("openai", "primary", KEY)
    look = subject(keys={"rotate_after_days": 90, "remind_days": 89})
    assert severities(keys.slots(look))[-1] == "ok"
    year_ago = int(vault.now_ms() - 365 * 86_400_000)
    store.write(lambda database: KeyRow.update(activated_ms=year_ago).execute(database)).result()
    (text,) = only(keys.slots(look), "warning")
    assert "should be rotated by" in text
    started = lifecycle.start_rotation(vault, "openai", "primary", Secret("sk-test-00000002"))
    assert any("did not finish" in text for text in only(keys.slots(look), "warning"))
    lifecycle.fail_rotation(vault, started, "openai refused the key")
    assert any("failed: openai refused" in text for text in only(keys.slots(look), "warning"))
    lifecycle.set_expiry(vault, "openai", "primary", datetime(2020, 1, 1, tzinfo=UTC))
    assert "openai has no key, so it is not asked" in only(keys.slots(look), "note")


def test_unverified_tls_is_an_error(subject: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any server could take the keys."""
    assert severities(settings.certificates(subject())) == ["ok"]
    monkeypatch.setenv("SSL_VERIFY", "false")
    assert severities(settings.certificates(subject(require_tls=False))) == ["error", "warning"]


def test_old_prices_are_told(subject: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """The price map is as old as LiteLLM's release, so at least as old as its installation."""
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    assert severities(settings.prices(subject()))[:1] == ["warning"]
