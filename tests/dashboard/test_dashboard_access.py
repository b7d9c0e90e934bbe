"""Who may use the dashboard: links, sessions, roles, forms, names of the host, and what browsers are told."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from supernova_ai.dashboard.access import SESSION_S, Access, Role
from supernova_ai.dashboard.page import Page
from supernova_ai.dashboard.pages import PAGES
from tests.dashboard.conftest import ADDRESS, SignIn
from tests.databases import new_file

ROUTES = [
    "/",
    *(f"/{name}{end}" for name in (*(page.name for page in PAGES), "access") for end in ("", "/parts")),
    *(f"/{page.name}.csv" for page in PAGES if page.download),
    "/metrics",
]
OPEN = ["/health/live", "/health/ready"]
FORMS = ["/sign-out", "/access/end"]
WAYS = ["/sign-in", "/sign-in/sso", "/sign-in/sso/callback"]
"""Where people sign in: the tests of each way are elsewhere."""


@pytest.fixture
def where(tmp_path: Path) -> str:
    """Who may look does not depend on the engine."""
    return str(new_file(tmp_path / "supernova.db"))


def csrf_of(browser: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/now").text)
    assert found
    return found[1]


def test_every_route_is_tested_here(visit: SignIn) -> None:
    """Every route that only reads is among those that the tests below ask without a session."""
    routes = {route.path for route in visit().app.routes if isinstance(route, Route)}  # type: ignore[attr-defined]
    assert routes == {*ROUTES, *OPEN, *FORMS, *WAYS}


@pytest.mark.parametrize("cookie", [None, "", "forged", "é" * 8])
def test_nothing_without_a_session(visit: SignIn, cookie: str | None) -> None:
    """Without a session, or with a forged one, every path is a 401 that says how to sign in, and no more."""
    browser = visit()
    headers = {} if cookie is None else {"cookie": f"supernova_8766={cookie}".encode()}
    other = {"/sign-in": (401, 403), "/sign-in/sso": (404, 405), "/sign-in/sso/callback": (404, 405)}
    for path in (*ROUTES, *FORMS, *WAYS, "/none", "/now/none"):
        answers = browser.get(path, headers=headers), browser.post(path, headers=headers)  # type: ignore[arg-type]
        assert tuple(answer.status_code for answer in answers) == other.get(path, (401, 401)), path
        for answer in answers:
            assert "<nav" not in answer.text
            assert "location" not in answer.headers
            assert "set-cookie" not in answer.headers


def test_the_link_works_once(visit: SignIn, access: Access) -> None:
    """It becomes a cookie that no script reads and no other site sends; used again, it is refused."""
    token = access.link_token("ann", Role.ADMIN)
    browser = visit()
    answer = browser.get("/sign-in", params={"token": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("supernova_8766=")
    assert token not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert browser.get("/now").status_code == 200
    again = visit().get("/sign-in", params={"token": token})
    assert again.status_code == 401
    assert "each works once" in again.text
    assert token not in again.text


@pytest.mark.parametrize("token", ["", "wrong", "é", "x" * 5000])
def test_a_wrong_token(visit: SignIn, access: Access, token: str) -> None:
    """It is refused, sets no cookie, and does not use up the right one."""
    right = access.link_token("ann", Role.ADMIN)
    browser = visit()
    answer = browser.get("/sign-in", params={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert browser.get("/sign-in", params={"token": right}).status_code == 303


def test_with_tls_the_cookie_needs_it(visit: SignIn, access: Access) -> None:
    """Browsers then send the cookie by https only."""
    answer = visit(secure=True).get("/sign-in", params={"token": access.link_token("ann", Role.ADMIN)})
    assert "; Secure" in answer.headers["set-cookie"]


def test_no_address_is_followed(visit: SignIn, access: Access) -> None:
    """Signing in always leads to the dashboard itself, whatever the link asks for."""
    token = access.link_token("ann", Role.ADMIN)
    answer = visit().get("/sign-in", params={"token": token, "next": "https://evil.example", "url": "//evil"})
    assert answer.headers["location"] == "/"


def test_signing_out_ends_the_session_on_the_server(sign_in: SignIn) -> None:
    """The cookie is worthless from then on, even for who has copied it."""
    browser = sign_in()
    cookie = dict(browser.cookies)
    answer = browser.post("/sign-out", data={"csrf": csrf_of(browser)})
    assert (answer.status_code, "You are signed out." in answer.text) == (200, True)
    browser.cookies.update(cookie)
    assert browser.get("/now").status_code == 401


def test_sessions_end(sign_in: SignIn, access: Access, clock: SimpleNamespace) -> None:
    """A session ends after its time, or when all sessions of its user are ended."""
    browser = sign_in()
    clock.now = SESSION_S - 1
    assert browser.get("/now").status_code == 200
    clock.now += 1
    assert browser.get("/now").status_code == 401
    browser = sign_in()
    access.end("someone else")
    assert browser.get("/now").status_code == 200
    access.end("ann")
    assert browser.get("/now").status_code == 401


@pytest.mark.parametrize("path", FORMS)
def test_a_form_needs_the_token_of_its_session(sign_in: SignIn, path: str) -> None:
    """Without it, with another, or with that of another session, nothing happens."""
    browser = sign_in()
    for given in ({}, {"csrf": ""}, {"csrf": "forged"}, {"csrf": "é"}, {"csrf": csrf_of(sign_in())}):
        assert browser.post(path, data=given).status_code == 403
    assert browser.post(f"{path}?csrf={csrf_of(browser)}").status_code == 403
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert browser.post(path, content=b"--y", headers=broken).status_code in (400, 403)
    assert browser.get("/now").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_are_only_read(sign_in: SignIn, method: str) -> None:
    """Another method is refused on every page, with the token of the session too."""
    browser = sign_in()
    assert browser.request(method, "/now", data={"csrf": csrf_of(browser)}).status_code == 405


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 403), (Role.OPERATOR, 403), (Role.ADMIN, 200)])
def test_a_page_may_need_a_role(sign_in: SignIn, role: Role, status: int) -> None:
    """A user whose role is lower gets no part of it, and no link to it."""
    now = PAGES[0]
    browser = sign_in(role, pages=(now, Page("errors", "Secret page", now.parts, role=Role.ADMIN)))
    assert ("Secret page" in browser.get("/now").text) == (role is Role.ADMIN)
    assert browser.get("/errors/parts").status_code == status
    refused = browser.get("/errors")
    if status == 403:
        assert refused.status_code == 403
        assert "needs the role admin; yours is " in refused.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", ""])
def test_other_names_of_the_host_are_refused(sign_in: SignIn, host: str) -> None:
    """A page of the web cannot reach the dashboard by a name of its own that leads to this machine."""
    for path in ("/now", "/sign-in", "/static/app.js"):
        assert sign_in().get(path, headers={"host": host}).status_code == 400


def test_what_browsers_are_told(sign_in: SignIn, visit: SignIn) -> None:
    """Every answer, whatever its status, forbids inline scripts, frames, guessed types, referrers, copies."""
    answers = [sign_in().get(path) for path in (*ROUTES, "/none", "/static/app.js", "/static/none")]
    answers += [visit().get("/now"), visit().get("/now", headers={"host": "evil.example"})]
    assert {answer.status_code for answer in answers} == {200, 303, 400, 401, 404}
    for answer in answers:
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in answer.headers if name.startswith("access-control")]
        is_static = answer.request.url.path.startswith("/static")
        assert answer.headers["cache-control"] == ("no-cache" if is_static else "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static/..%2fapplication.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/..\\application.py",
        "/static/%00",
        "/static/",
        "/static/../now",
        "/static/%2e%2e/now",
        "//now",
        "/now/../../etc/passwd",
        "/NOW",
        "/now.html",
        "/templates/now.html",
    ],
)
def test_path_tricks(visit: SignIn, path: str) -> None:
    """No spelling of a path gives a file beside those of the pages, or a page without a session."""
    answer = visit().get(f"{ADDRESS}{path}")
    assert answer.status_code in (400, 401, 404, 405)
    assert "import" not in answer.text
    assert "root:" not in answer.text
    assert "<nav" not in answer.text


@pytest.mark.parametrize("path", OPEN)
def test_health_needs_no_session(visit: SignIn, path: str) -> None:
    """A supervisor may ask whether the server lives and is ready; it learns no name and no address."""
    answer = visit().get(path)
    assert answer.status_code in (200, 503)
    assert answer.headers["content-type"] == "application/json"
    assert not {"openai", "ollama", "127.0.0.1"} & set(re.findall(r"[\w.]+", answer.text))


def test_metrics_need_a_session(sign_in: SignIn) -> None:
    """Who is signed in sees the metrics too."""
    answer = sign_in().get("/metrics")
    assert answer.status_code == 200
    assert "supernova_build_info{" in answer.text
