"""The page Keys and configuration: keys by their fingerprints, versions, jobs and the audit."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial

import pytest
from peewee import Database

from supernova_ai.config import Budget, Config, Loaded
from supernova_ai.dashboard.access import Role
from supernova_ai.keys import Vault
from supernova_ai.keys.audited_store import Record
from supernova_ai.operations.jobs.leader import Leader
from supernova_ai.operations.jobs.planned import PLANNED
from supernova_ai.reload.versions import Versions
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AuditRow, JobRow, KeyRow
from tests.clients import vault_of
from tests.dashboard.conftest import Put, SignIn
from tests.dashboard.test_dashboard_pages import XSS, text_of

CANARY = "sk-canary0123456789abcdefghij"


@pytest.fixture
def vault(store: Store) -> Vault:
    """A vault with a key that was replaced, and one in a backup slot."""
    vault = vault_of(store)
    vault.add("openai", "primary", Secret(CANARY))
    vault.add("openai", "primary", Secret(f"{CANARY}2"))
    vault.add("anthropic", "backup", Secret("sk-ant-canary0123456789abcdef"))
    return vault


def test_an_empty_store_says_what_to_do(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part names the command that fills it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    shown = text_of(sign_in().get("/keys").text)
    assert "openai has no key. Add one with supernova keys add openai" in shown
    assert "No version was recorded yet" in shown
    assert "No process runs the jobs. Start one with supernova run" in shown
    assert "No operation was recorded yet." in shown
    assert "cannot be shown" not in shown


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.OPERATOR, 200), (Role.ADMIN, 200)])
def test_viewers_do_not_see_it(sign_in: SignIn, role: Role, status: int) -> None:
    """It tells who did what, so it needs the role of who may do something."""
    browser = sign_in(role)
    assert browser.get("/keys").status_code == browser.get("/keys/parts").status_code == status
    assert ('href="/keys"' in browser.get("/now").text) == (status == 200)


def test_keys(sign_in: SignIn, store: Store, vault: Vault) -> None:
    """A version has its state, age, fingerprint, last use, check and expiry, and never its key."""
    (row,) = [key for key in vault.list() if key.provider == "openai" and key.state == "active"]
    now_ms = store.now_ms()
    times = {"activated_ms": now_ms - 40 * 86_400_000, "checked_ms": now_ms, "used_ms": now_ms}
    values = times | {"check_result": "AuthenticationFailed", "expires_ms": now_ms - 1}
    update = KeyRow.update(values).where(KeyRow.fingerprint == row.fingerprint)
    store.write(lambda database: update.execute(database)).result()
    page = sign_in().get("/keys").text
    shown = text_of(page)
    assert re.search(
        rf"openai primary, version 2 expired {row.fingerprint} 40 days since .* AuthenticationFailed", shown
    )
    assert "anthropic backup, version 1 active" in shown
    assert "1 revoked or replaced version: supernova keys list" in shown
    assert "canary" not in page


def test_a_key_of_the_environment(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variable is named, and its value is not shown."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    page = sign_in().get("/keys").text
    assert "openai primary environment OPENAI_API_KEY" in text_of(page)
    assert "canary" not in page


def test_versions(sign_in: SignIn, store: Store, vault: Vault, put: Put) -> None:
    """Each has who applied it and what it changed; the attempts tell which are in use."""
    versions = Versions(store, vault)
    first, second = (
        Loaded.of(Config(budgets=(Budget(name="firm", limit=Decimal(limit), per="month"),)))
        for limit in (10, 20)
    )
    versions.record(first, "start")
    versions.record(second, "set")
    put(config_version=second.version)
    put(config_version="0000")
    browser = sign_in()
    shown = text_of(browser.get("/keys").text)
    assert "version 2 is in force, environment" in shown
    assert re.search(r"2 \w{12} budgets\.firm\.limit: 10 → 20", shown)
    assert "version 2 (1)" in shown
    assert "0000 (1)" in shown
    assert "refused" not in shown


def test_a_refused_edit(sign_in: SignIn, store: Store, vault: Vault) -> None:
    """It is shown until a later version is in force."""
    versions = Versions(store, vault)
    versions.record(Loaded.of(Config()), "start")
    versions.refused(ValueError("'budgets' is not a list"), "watch")
    shown = text_of(sign_in().get("/keys").text)
    assert re.search(r"The latest edit was refused, \S+ &#39;budgets&#39; is not a list", shown)


def test_jobs(sign_in: SignIn, store: Store) -> None:
    """Each has its schedule, its last run and its next; the process that leads is named."""
    leader = Leader(store)
    assert leader.claim()
    started_ms = store.now_ms() - 9000
    row = {"name": PLANNED[0].name, "fence": 1, "started_ms": started_ms, "ended_ms": started_ms + 1500}
    row |= {"duration_ms": 1500, "outcome": "StoreError: no space", "runs": 3, "failures": 2}
    store.write(lambda database: JobRow.insert(row).execute(database)).result()
    shown = text_of(sign_in().get("/keys").text)
    assert f"run by {leader.holder}" in shown
    assert "No process runs the jobs" not in shown
    assert re.search(rf"{PLANNED[0].name} [^–]* failed 2 in a row StoreError: no space .* took 1\.5 s", shown)
    assert f"{PLANNED[1].name} " in shown


@pytest.mark.parametrize(
    ("query", "operations"),
    [
        ({}, ["key.added", "key.added", "key.added", "master.created"]),
        ({"event": "master.created"}, ["master.created"]),
        ({"subject": "anthropic/backup"}, ["key.added"]),
        ({"by": "nobody"}, []),
        ({"before": "2"}, ["master.created"]),
        ({"before": "x"}, ["key.added", "key.added", "key.added", "master.created"]),
    ],
)
@pytest.mark.usefixtures("vault")
def test_the_audit(sign_in: SignIn, query: dict[str, str], operations: list[str]) -> None:
    """Operations are listed newest first, and are filtered; none is shown with a key."""
    page = sign_in().get("/keys", params=query).text
    audit = page.partition('id="audit"')[2]
    found = [name for name in re.findall(r"<td>([\w.]+)<small>", audit) if name != "key.revoked"]
    assert found == operations
    assert ("No operation is like this." in audit) == (not operations)
    assert "canary" not in page
    assert ("version: 2" in audit) == ("key.added" in operations and "subject" not in query)


def note(subject: str, _: Database, record: Record) -> None:
    record("key.checked", subject, {"reason": f"{XSS}\u202e"}, XSS)


def test_many_operations_have_pages(sign_in: SignIn, store: Store) -> None:
    """The latest are shown, with a link to the ones before them."""
    vault = vault_of(store)
    for number in range(60):
        vault.audited(partial(note, f"subject-{number}"))
    browser = sign_in()
    page = browser.get("/keys").text
    link = re.search(r'href="(/keys\?before=\d+[^"]*)#audit"', page)
    assert link
    earlier = browser.get(link[1].replace("&amp;", "&")).text
    subjects = [re.findall(r"<small>(subject-\d+)</small>", text) for text in (page, earlier)]
    assert [*subjects[0], *subjects[1]] == [f"subject-{number}" for number in range(59, -1, -1)]


def test_text_is_text(sign_in: SignIn, store: Store, vault: Vault) -> None:
    """Nothing of a stored row steers the page."""
    vault.audited(partial(note, XSS))
    update = AuditRow.update(actor=XSS, source=XSS, details="[damaged")
    store.write(lambda database: update.execute(database)).result()
    broken = KeyRow.update(provider=XSS, check_result=XSS)
    store.write(lambda database: broken.where(KeyRow.provider == "anthropic").execute(database)).result()
    browser = sign_in()
    for query in ({}, {"by": XSS}, {"event": XSS, "subject": XSS, "before": XSS}):
        page = browser.get("/keys", params=query).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "cannot be shown" not in page
