"""Signing in with a password: who gets in, what strangers learn, locks, and what ends a session."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import Database
from starlette.testclient import TestClient

from supernova_ai.alerts import outbox
from supernova_ai.audit import AuditEvent
from supernova_ai.audit.chain import latest_events
from supernova_ai.config import Config
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Access, Role
from supernova_ai.dashboard.lockout import LOCKED_AFTER
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.errors import StoreError
from supernova_ai.store import Store, bulk
from tests.dashboard.conftest import CHEAP, SignIn
from tests.dashboard.test_dashboard_access import csrf_of
from tests.databases import new_file

PASSWORD = "Canary-horse-5e1b-battery"
COOKIE = "supernova_8766"


@pytest.fixture
def where(path: Path) -> str:
    """Who may sign in does not depend on the engine."""
    return str(new_file(path))


class Counting(Passwords):
    """Counts the passwords that are checked."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.checked = 0

    def _matches(self, password: str, stored: str | None) -> bool:
        self.checked += 1
        return super()._matches(password, stored)


@pytest.fixture
def passwords() -> Counting:
    return Counting()


Change = Callable[..., None]


@pytest.fixture
def change(where: str) -> Change:
    """Change a user as the command line does."""

    def change_(what: Callable[..., None], name: str = "ann", **values: Any) -> None:
        def run(database: Database, record: Any) -> None:
            what(database, record, int(values.pop("now_ms", 1)), name=name, **values)

        VaultAccess(where).audited(run)

    return change_


@pytest.fixture
def ann(change: Change, store: Store) -> None:
    """A user with a password."""
    hashed = Passwords(CHEAP).hash(PASSWORD)
    change(users.add, role=Role.OPERATOR, password_hash=hashed, now_ms=store.now_ms())


@pytest.fixture
def browser(ann: None, visit: SignIn, passwords: Counting) -> TestClient:
    """A browser at a dashboard that has a user; nobody has signed in."""
    return visit(passwords=passwords)


def fill(browser: TestClient, name: str = "ann", password: str = PASSWORD, **headers: str) -> Any:
    """Load the form and send it."""
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/sign-in").text)
    assert found
    form = {"csrf": found[1], "name": name, "password": password}
    return browser.post("/sign-in", data=form, headers=headers)


def events(store: Store, event: str) -> list[AuditEvent]:
    return store.read(lambda database: latest_events(database, limit=50, event=event))


def test_the_form_comes_with_the_first_user(
    visit: SignIn, passwords: Counting, change: Change, clock: SimpleNamespace
) -> None:
    """Without users the page names the link alone; a user who is added can sign in a second later."""
    browser = visit(passwords=passwords)
    assert "<form" not in browser.get("/now").text
    assert "Sign in with the link that" in browser.get("/now").text
    change(users.add, role=Role.VIEWER, password_hash=Passwords(CHEAP).hash(PASSWORD))
    clock.now += 1
    assert fill(browser).status_code == 303
    assert "Signed in as ann (viewer)" in browser.get("/now").text


def test_signing_in(browser: TestClient, store: Store) -> None:
    """The right password gives a session in the user's role, leads to the dashboard, and is in the audit."""
    answer = fill(browser, " Ann ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Signed in as ann (operator)" in browser.get("/now").text
    (event,) = events(store, "dashboard.signed_in")
    assert (event.subject, event.actor, event.outcome) == ("ann", "ann", "done")
    assert event.source.startswith("dashboard on ")
    assert json.loads(event.details) == {"way": "password", "role": "operator", "address": "testclient"}


def test_nobody_learns_why_a_sign_in_failed(
    browser: TestClient, change: Change, passwords: Counting, store: Store
) -> None:
    """Wrong passwords, unknown and impossible names, disabled and locked users: the same answer and work."""
    hashed = Passwords(CHEAP).hash(PASSWORD)
    for name in ("off", "locked"):
        change(users.add, name, role=Role.ADMIN, password_hash=hashed)
    change(users.disable, "off")
    change(users.lock, "locked", until_ms=store.now_ms() + 60_000, failures=10, address="192.0.2.1")
    seen = set()
    for name, password in (
        ("ann", f"{PASSWORD}!"),
        ("ann", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\0b", PASSWORD),
        ("<b>", PASSWORD),
        ("off", PASSWORD),
        ("locked", PASSWORD),
    ):
        before = passwords.checked
        answer = fill(browser, name, password)
        assert passwords.checked == before + 1, name
        assert "set-cookie" not in answer.headers
        assert PASSWORD not in answer.text
        seen.add((answer.status_code, answer.text))
    ((status, text),) = seen
    assert (status, "The name or the password is wrong, or the user is locked." in text) == (401, True)
    assert {(each.subject, each.outcome) for each in events(store, "dashboard.sign_in.refused")} == {
        ("off", "disabled"),
        ("locked", "locked"),
    }
    assert events(store, "dashboard.signed_in") == []


def test_each_failure_makes_the_next_try_wait_longer(
    browser: TestClient, passwords: Counting, clock: SimpleNamespace
) -> None:
    """From the third on, also with the right password, and for unknown names; nothing is checked then."""
    for name in ("nobody", "ann"):
        for wait in (0, 0, 1, 2, 4, 8):
            assert fill(browser, name, "wrong").status_code == 401
            if wait:
                checked = passwords.checked
                refused = fill(browser, name)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, str(wait))
                assert f"Try again in {wait} second" in refused.text
                assert passwords.checked == checked
                clock.now += wait
    assert fill(browser).status_code == 303
    assert fill(browser, "ann", "wrong").status_code == 401
    assert fill(browser).status_code == 303


def test_an_address_that_tries_many_names_waits(browser: TestClient) -> None:
    """The throttle counts by the address too."""
    answers = [fill(browser, f"name-{number}", "wrong").status_code for number in range(21)]
    assert answers == [401] * 20 + [429]
    assert fill(browser).status_code == 429


def fail_until_locked(browser: TestClient, clock: SimpleNamespace, name: str = "ann") -> None:
    for _ in range(LOCKED_AFTER):
        assert fill(browser, name, "wrong").status_code == 401
        clock.now += 100


def test_many_wrong_passwords_lock_the_user(
    browser: TestClient, visit: SignIn, store: Store, clock: SimpleNamespace, change: Change
) -> None:
    """The right password is refused too; administrators are told; the user's own session goes on."""
    assert fill(browser).status_code == 303
    stranger = visit()
    fail_until_locked(stranger, clock)
    assert fill(stranger).status_code == 401
    assert browser.get("/now").status_code == 200
    (event,) = events(store, "dashboard.user.locked")
    assert json.loads(event.details)["failures"] == LOCKED_AFTER
    (alert,) = store.read(lambda database: outbox.list_alerts(database))
    message = outbox.AlertEvent.of(alert, ()).message()
    assert (alert.kind, message.urgent) == ("access", True)
    assert "10 wrong passwords in a row, the last from testclient: ann cannot sign in" in message.text
    assert "`supernova dashboard users unlock ann` ends that" in message.text
    fail_until_locked(stranger, clock)  # it is not told again
    assert len(events(store, "dashboard.user.locked")) == 1
    change(users.unlock)
    assert fill(stranger).status_code == 303


def test_a_lock_ends(browser: TestClient, store: Store, clock: SimpleNamespace) -> None:
    """After a quarter of an hour the right password is taken."""
    fail_until_locked(browser, clock)
    (user,) = store.read(users.every_user).values()
    assert user.locked_until_ms
    assert user.locked_until_ms - store.now_ms() == pytest.approx(15 * 60_000, abs=60_000)
    assert fill(browser).status_code == 401
    back = "UPDATE dashboard_user SET locked_until_ms = ?"
    store.write(lambda database: bulk.run(database, back, store.now_ms() - 1)).result()
    assert fill(browser).status_code == 303


def test_a_lock_that_cannot_be_written_holds(
    browser: TestClient, clock: SimpleNamespace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process itself remembers it; the page is as always."""
    monkeypatch.setattr(VaultAccess, "audited", _unwritable)
    fail_until_locked(browser, clock)
    monkeypatch.undo()
    assert store.read(lambda database: users.find(database, "ann")).locked_until_ms is None  # type: ignore[union-attr]
    assert fill(browser).status_code == 401


def _unwritable(*_: object, **__: object) -> None:
    raise StoreError("the database is read-only")


def test_a_sign_in_that_cannot_be_recorded_is_none(
    browser: TestClient, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gets in unseen, and the page says why; the link of the process still works."""
    monkeypatch.setattr(VaultAccess, "audited", _unwritable)
    answer = fill(browser)
    assert (answer.status_code, "the database is read-only" in answer.text) == (503, True)
    assert "set-cookie" not in answer.headers
    assert access.sessions() == []
    token = access.link_token("root", Role.ADMIN)
    assert browser.get("/sign-in", params={"token": token}).status_code == 303
    assert browser.get("/now").status_code == 200
    assert browser.post("/sign-out", data={"csrf": csrf_of(browser)}).status_code == 200


def test_a_session_given_before_is_not_taken_over(browser: TestClient, visit: SignIn, access: Access) -> None:
    """Each sign-in makes a new session, and ends the one that the browser had."""
    browser.cookies.set(COOKIE, "known-to-the-attacker", domain="127.0.0.1")
    first = fill(browser).cookies[COOKIE]
    answer = browser.get("/sign-in", params={"token": access.link_token("ann", Role.ADMIN)})
    second = answer.cookies[COOKIE]
    assert len({"known-to-the-attacker", first, second}) == 3
    for value, status in (("known-to-the-attacker", 401), (first, 401), (second, 200)):
        assert visit().get("/now", headers={"cookie": f"{COOKIE}={value}"}).status_code == status


def test_the_form_is_of_the_browser_that_loaded_it(browser: TestClient, passwords: Counting) -> None:
    """Another site cannot sign somebody in as somebody else: it has neither the cookie nor its token."""
    form = {"name": "ann", "password": PASSWORD}
    assert browser.post("/sign-in", data=form | {"csrf": ""}).status_code == 403
    assert browser.post("/sign-in", data=form | {"csrf": "x" * 43}).status_code == 403
    for site in ("cross-site", "same-site"):
        assert fill(browser, **{"sec-fetch-site": site}).status_code == 403
    known = browser.cookies[f"{COOKIE}_form"]
    browser.cookies.clear()
    refused = browser.post("/sign-in", data=form | {"csrf": known})
    assert (refused.status_code, "try again" in refused.text) == (403, True)
    assert passwords.checked == 0
    assert fill(browser, **{"sec-fetch-site": "same-origin"}).status_code == 303


def test_forms_that_no_browser_sends(browser: TestClient) -> None:
    """They are refused before anything is kept or checked."""
    browser.get("/sign-in")
    assert browser.post("/sign-in", content=b"name=" + b"a" * 20_000).status_code == 413
    for body in (b"", b"\xff\xfe=&&&;=", b"csrf", b"csrf=%ff"):
        assert browser.post("/sign-in", content=body).status_code == 403
    assert fill(browser, "ann", "x" * 10_000).status_code == 401


@pytest.mark.parametrize(
    ("what", "values"),
    [
        (users.remove, {}),
        (users.disable, {}),
        (users.set_role, {"role": Role.VIEWER}),
        (users.set_password, {"password_hash": "other"}),
    ],
)
def test_a_change_of_the_user_ends_the_sessions(
    browser: TestClient,
    change: Change,
    clock: SimpleNamespace,
    what: Callable[..., None],
    values: dict[str, Any],
) -> None:
    """A second later at the latest; to unlock a user ends none."""
    assert fill(browser).status_code == 303
    change(users.unlock)
    clock.now += 1
    assert browser.get("/now").status_code == 200
    change(what, **values)
    clock.now += 1
    for _ in range(2):
        assert browser.get("/now").status_code == 401


def test_while_the_users_cannot_be_read(
    browser: TestClient,
    visit: SignIn,
    access: Access,
    clock: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sessions with a password wait; they neither end nor go on unchecked. Others need no user."""
    assert fill(browser).status_code == 303
    clock.now += 1
    monkeypatch.setattr(users, "every_user", _unwritable)
    answer = browser.get("/now")
    assert (answer.status_code, "the database is read-only" in answer.text) == (503, True)
    linked = visit()
    linked.cookies.set(COOKIE, access.start("root", Role.ADMIN))
    assert linked.get("/now").status_code == 200
    assert visit().get("/now").status_code == 401
    monkeypatch.undo()
    assert browser.get("/now").status_code == 200


def test_administrators_see_and_end_sessions(
    browser: TestClient, sign_in: SignIn, access: Access, store: Store
) -> None:
    """The page names user, role, way, address and times, and never a cookie; others do not see it."""
    fill(browser)
    value = browser.cookies[COOKIE]
    access.start("sso:<b>eve</b>", Role.VIEWER, "sso", address="192.0.2.9", basis=Config().dashboard.oidc)
    admin = sign_in()
    page = admin.get("/access").text
    assert re.search(r"sso:&lt;b&gt;eve.*viewer.*single sign-on.*192\.0\.2\.9", page, re.DOTALL)
    assert "testclient" in page
    assert value not in page
    (session,) = [each for each, _, _ in access.sessions() if each.user == "ann" and each.way == "password"]
    for intruder in (browser, sign_in(Role.OPERATOR)):
        assert intruder.get("/access").status_code == 403
        forged = {"csrf": csrf_of(intruder), "session": session.id}
        assert intruder.post("/access/end", data=forged).status_code == 403
    assert browser.get("/now").status_code == 200
    answer = admin.post("/access/end", data={"csrf": csrf_of(admin), "session": session.id})
    assert (answer.status_code, answer.headers["location"]) == (303, "/access")
    assert browser.get("/now").status_code == 401
    (event,) = events(store, "dashboard.session.ended")
    assert (event.subject, event.actor) == ("ann", "ann")
    assert admin.post("/access/end", data={"csrf": csrf_of(admin), "session": "None"}).status_code == 303
    assert admin.post("/access/end", data={"csrf": csrf_of(admin)}).status_code == 303
    assert admin.get("/now").status_code == 200


def test_signing_out_is_recorded(browser: TestClient, store: Store) -> None:
    """The audit says who signed out, and the page has the form again."""
    fill(browser)
    answer = browser.post("/sign-out", data={"csrf": csrf_of(browser)})
    assert "You are signed out." in answer.text
    assert 'name="password"' in answer.text
    (event,) = events(store, "dashboard.signed_out")
    assert (event.subject, event.actor) == ("ann", "ann")


def test_what_proxies_say_is_not_believed(browser: TestClient, store: Store) -> None:
    """Whoever sends such headers does not get another address, scheme or host by them."""
    said = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https", "forwarded": "for=192.0.2.7"}
    answer = fill(browser, **said, **{"x-forwarded-host": "evil.example", "x-real-ip": "192.0.2.7"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Secure" not in answer.headers["set-cookie"]
    (event,) = events(store, "dashboard.signed_in")
    assert json.loads(event.details)["address"] == "testclient"


def test_behind_a_proxy_that_encrypts(ann: None, visit: SignIn) -> None:
    """Under the configured address the cookie needs https, and elsewhere not."""
    config = Config.model_validate({"dashboard": {"address": "https://dashboard.example"}})
    browser = visit(config=config, hosts=["127.0.0.1", "dashboard.example"])
    assert "Secure" not in fill(browser).headers["set-cookie"]
    browser = visit(config=config, hosts=["127.0.0.1", "dashboard.example"])
    browser.base_url = "http://dashboard.example"
    set_ = browser.get("/sign-in").headers["set-cookie"]
    assert set_.startswith("supernova_session_form=")
    assert "Secure" in set_


def test_no_answer_has_a_password_or_its_hash(
    browser: TestClient, sign_in: SignIn, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Not of a page, of a file, of an error, and not in the audit, the alerts or the log."""
    hashed = store.read(users.every_user)["ann"].password
    answers = [fill(browser, PASSWORD, "wrong"), fill(browser, "ann", f"{PASSWORD}!"), fill(browser)]
    admin = sign_in()
    answers += [
        admin.get(path)
        for path in ("/access", "/access/parts", "/keys?event=dashboard.signed_in", "/metrics")
    ]
    seen = "".join(answer.text + str(answer.headers) for answer in answers) + caplog.text
    seen += repr(store.read(lambda database: latest_events(database, limit=50)))
    assert "ann" in seen
    assert PASSWORD not in seen
    assert hashed.rpartition("$")[2] not in seen
