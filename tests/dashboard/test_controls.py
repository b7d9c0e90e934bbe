"""Each control: what it shows before, what it does, its row in the audit, and what it does not do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supernova_ai.alerts.outbox import list_alerts
from supernova_ai.dashboard import rendering
from supernova_ai.dashboard.access import Role
from supernova_ai.operations.jobs import runner
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.testing import Failure, StubProvider
from tests.clients import attempts
from tests.dashboard.control_panel import Panel, Visitor, put_alerts, text_of
from tests.test_canary import forms

CANARY = "sk-Canary7f3a9d5e1b0123456789"
LEAKS = {*forms(CANARY), *forms("Canary7f3a9d5e1b")}


@pytest.fixture
def where(path: Path) -> str:
    """What controls do is the same on both engines."""
    return str(path)


@pytest.fixture
def admin(panel: Panel) -> Visitor:
    return panel.visitor()


@pytest.fixture
def with_key(panel: Panel) -> None:
    panel.vault.add("openai", "primary", Secret(CANARY))


def test_acknowledge_alerts(panel: Panel, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page Now lists open alerts; an operator acknowledges one, which is seen at once, then all."""
    put_alerts(store, "backup", "probes", "keys")
    operator = panel.visitor(Role.OPERATOR)
    monkeypatch.setattr(rendering, "EVERY_S", 3600.0)
    assert "backup failed" in operator.browser.get("/now").text
    page = operator.open("acknowledge", alert="1")
    assert "Alert 1 is acknowledged: backup failed" in text_of(page)
    assert len(store.read(list_alerts)) == 3
    operator.confirm("acknowledge", page)
    assert "backup failed" not in operator.browser.get("/now").text
    assert [row.id for row in store.read(list_alerts)] == [2, 3]
    assert panel.audited("alerts.acknowledged").subject == "1"
    assert "2 acknowledged" in text_of(operator.do("acknowledge", alert="all"))
    assert store.read(list_alerts) == []
    assert "No alert is open" in text_of(operator.open("acknowledge"))


def test_disable_and_enable_a_provider(panel: Panel, admin: Visitor) -> None:
    """A link leads to what will change; done, it is in the file, and everything else stays."""
    page = admin.open("provider", provider="openai", enabled="false")
    assert "providers.openai.enabled: true → false" in text_of(page)
    done = admin.confirm("provider", page)
    assert "This is version 2." in text_of(done)
    assert not panel.loaded.config.providers["openai"].enabled
    assert "# everybody's" in panel.file.read_text()
    rows = [row for row in panel.vault.audit_events() if row.event == "config.applied"]
    assert [(row.actor, row.subject) for row in rows] == [("ann", "version 1"), ("ann", "version 2")]
    assert "openai is disabled" in text_of(panel.visitor().browser.get("/now"))
    admin.do("provider", provider="openai", enabled="true")
    assert panel.loaded.config.providers["openai"].enabled


def test_edit_a_budget(panel: Panel, admin: Visitor) -> None:
    """The form begins with the limit in force; the new one is in the file."""
    assert 'name="limit" value="50"' in admin.open("budget", budget="daily").text
    page = admin.send("budget", budget="daily", limit="75.50")
    assert "budgets.daily.limit: 50 → 75.5" in text_of(page)
    admin.confirm("budget", page)
    assert "{name: daily, limit: 75.50, per: day}  # everybody's" in panel.file.read_text()


def test_edit_a_price(panel: Panel, admin: Visitor) -> None:
    """A price is written whole, changed, and loses what is left empty."""
    model = "openai/gpt-4o-mini"
    assert 'name="input" value=""' in admin.open("price", model=model).text
    admin.do("price", model=model, input="1", output="4", cached_input="0.5")
    assert 'name="cached_input" value="0.5"' in admin.open("price", model=model).text
    admin.do("price", model=model, input="1.25", output="4", cached_input="")
    price = panel.loaded.config.providers["openai"].prices["gpt-4o-mini"]
    assert (str(price.input), str(price.output), price.cached_input) == ("1.25", "4", None)


def test_change_a_setting_edit_the_file_and_roll_back(panel: Panel, admin: Visitor) -> None:
    """Each is a version; a rollback writes the first one back, byte for byte."""
    panel.vault.add("openai", "primary", Secret(CANARY))  # with the master key versions have their text
    before = panel.file.read_bytes()
    assert "routing.retries: 0 → 3" in text_of(admin.send("setting", key="routing.retries", value="3"))
    admin.do("setting", key="routing.retries", value="3")
    form = admin.open("file")
    found = re.search(r'name="before" value="(\w+)"', form.text)
    assert found
    text = panel.file.read_text().replace("streaming: false", "streaming: true").replace("\n", "\r\n")
    page = admin.send("file", text=text, before=found[1])
    assert "streaming: false → true" in text_of(page)
    admin.confirm("file", page)
    assert panel.file.read_bytes() == text.replace("\r\n", "\n").encode()
    page = admin.open("rollback", version="1")
    assert "streaming: true → false" in text_of(page)
    admin.confirm("rollback", page)
    assert panel.file.read_bytes() == before
    assert panel.audited("config.rolled_back").subject == "version 4"
    # Somebody else edits it meanwhile:
    assert "edited meanwhile" in text_of(admin.send("file", text="streaming: true", before=found[1]))
    assert panel.file.read_bytes() == before


def test_what_was_shown_is_done_or_shown_again(panel: Panel, admin: Visitor) -> None:
    """If the files were edited between the two pages, nothing is done, and the new plan is shown."""
    page = admin.send("budget", budget="daily", limit="75")
    panel.file.write_text(panel.file.read_text().replace("limit: 50", "limit: 60"))
    again = admin.confirm("budget", page)
    assert "budgets.daily.limit: 60 → 75" in text_of(again)
    assert "something changed meanwhile" in text_of(again)
    assert panel.loaded.config.budgets[0].limit == 60
    admin.confirm("budget", again)
    assert panel.loaded.config.budgets[0].limit == 75


def test_rotate_a_key(
    panel: Panel, admin: Visitor, stub: StubProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """It is checked and takes over, but not without the tick; the canary is in no page, log or file."""
    caplog.set_level("DEBUG")
    given = {"provider": "openai", "slot": "primary", "key": CANARY, "grace": "3600"}
    pages = [admin.send("rotate", **given)]
    assert "'Replace the key now' must be ticked: nothing was done" in text_of(pages[0])
    assert panel.vault.list() == []
    pages.append(admin.send("rotate", **given, confirm="yes"))
    assert "openai/primary: version 1 is active" in text_of(pages[1])
    assert "not checked" in text_of(pages[1])
    pages.append(admin.send("rotate", **given, confirm="yes"))
    assert "has already (version 1" in text_of(pages[2])
    stub.probe = Failure(401, "the key {key} is wrong")
    next_key = {**given, "key": f"{CANARY}-2", "check": "yes", "confirm": "yes"}
    pages.append(admin.send("rotate", **next_key))
    assert "openai refused the key" in text_of(pages[3])
    stub.probe = "healthy"
    pages.append(admin.send("rotate", **next_key))
    assert "Version 1 is retiring: delete it at openai after 60 minutes." in text_of(pages[4])
    pages += [admin.send("rotate", **{**given, "provider": name, "confirm": "yes"}) for name in ("", "other")]
    pages += [admin.browser.get("/keys"), admin.open("rotate", provider="openai", slot="primary")]
    states = {key.version: (key.state, key.check_result) for key in panel.vault.list()}
    assert states == {1: ("retiring", None), 2: ("failed", None), 3: ("active", "ok")}
    rows = [row for row in panel.vault.audit_events() if row.event == "key.activated"]
    assert [row.actor for row in rows] == ["ann", "ann"]
    seen = [*(page.text for page in pages), *(str(page.headers) for page in pages), caplog.text]
    seen += [
        file.read_bytes().decode("latin-1") for file in panel.file.parent.parent.rglob("*") if file.is_file()
    ]
    assert [text for text in seen for leak in LEAKS if leak in text] == []


@pytest.mark.usefixtures("with_key")
def test_revoke_a_key(panel: Panel, admin: Visitor) -> None:
    """A version is named by its fingerprint before it is revoked and wiped."""
    (key,) = panel.vault.list()
    page = admin.open("revoke", key="openai/primary/1")
    assert f"Version 1 of openai/primary (active, fingerprint {key.fingerprint}) is revoked" in text_of(page)
    assert "delete it at the provider too" in text_of(admin.confirm("revoke", page))
    assert panel.vault.list()[0].state == "revoked"
    assert panel.audited("key.revoked").subject == "openai/primary"
    assert "no key that could be revoked" in text_of(admin.open("revoke"))


@pytest.mark.usefixtures("with_key")
def test_run_a_job(panel: Panel, store: Store) -> None:
    """An operator runs a job: its outcome is on the page, and who asked for it in the audit."""
    operator = panel.visitor(Role.OPERATOR)
    page = operator.open("job", job="verify")
    assert "The job verify runs now: Check the audit, the advice and the ledger." in text_of(page)
    assert "verify: all right" in text_of(operator.confirm("job", page))
    assert panel.audited("job.asked").subject == "verify"
    assert store.read(runner.rows)["verify"].runs == 1
    assert "switches the job 'probes' off" in text_of(operator.send("job", job="probes"))


@pytest.mark.usefixtures("with_key")
def test_run_a_backup(panel: Panel, tmp_path: Path) -> None:
    """What a backup needs is named; with it, the file is written. A job that fails says why."""
    operator = panel.visitor(Role.OPERATOR)
    refused = text_of(operator.open("job", job="backup"))
    assert "The job backup needs backup.schedule as daily or weekly and backup.passphrase_file" in refused
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    panel.set(backup={"schedule": "daily", "passphrase_file": str(passphrase), "to": str(tmp_path / "saved")})
    failed = operator.confirm("job", operator.open("job", job="backup"))
    assert "Not done backup: FAILED: " in text_of(failed)
    passphrase.write_text("sixteen letters and more")
    assert "bytes written" in text_of(operator.do("job", job="backup"))
    assert len(list((tmp_path / "saved").glob("*.backup"))) == 1


@pytest.mark.usefixtures("with_key")
def test_try_a_prompt(panel: Panel, stub: StubProvider, path: Path) -> None:
    """It is off by default. The quote comes first and caps the call, which counts for the user."""
    hostile = "<script>alert(1)</script> Diversify.\u202e"
    stub.reply = hostile
    assert panel.visitor(Role.OPERATOR).open("prompt").status_code == 403
    panel.set(dashboard={"try_prompts": True})
    operator = panel.visitor(Role.OPERATOR)
    assert 'href="/control/prompt"' in operator.browser.get("/now").text
    page = operator.send("prompt", message="What now?", tier="", model="", max_tokens="100")
    shown = text_of(page)
    assert re.search(r"openai/gpt-4o-mini: (\$0\.0\d+) at most\. .* spent by ann: \1 at most\.", shown)
    assert "The budget daily has $50.00 left." in shown
    assert stub.chats == []
    done = operator.confirm("prompt", page)
    assert "openai/gpt-4o-mini, standard" in text_of(done)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; Diversify." in done.text
    assert "\u202e" not in done.text
    (row,) = attempts(path)
    assert (row.user, row.state) == ("ann", "settled")
    assert panel.audited("prompt.tried").subject == "standard"
    again = operator.confirm("prompt", page)
    assert (again.status_code, "begin again" in again.text, len(stub.chats)) == (409, True, 1)
    for wrong in ({"max_tokens": "many"}, {"model": "openai/other"}, {"message": " "}):
        values = {"message": "What now?", "tier": "", "model": "", "max_tokens": "100"} | wrong
        assert operator.send("prompt", **values).status_code == 400
