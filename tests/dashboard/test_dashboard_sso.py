"""Single sign-on: who gets in, in which role, and what of a provider's answer is believed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc import jwk
from starlette.testclient import TestClient

from supernova_ai.audit.chain import latest_events
from supernova_ai.config import Config
from supernova_ai.dashboard.access import Access
from supernova_ai.dashboard.single_sign_on import VARIABLE
from supernova_ai.keys import open_vault
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.dashboard.conftest import ADDRESS, SignIn
from tests.databases import new_file
from tests.identity_provider import CLIENT, SECRET, IdentityProvider

COOKIE = "supernova_8766"
CALLBACK = "/sign-in/sso/callback"
ROLES = {"staff": "viewer", "llm-operators": "operator", "llm-admins": "admin"}


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    provider = IdentityProvider()
    yield provider
    provider.close()


@pytest.fixture
def provider(running: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> IdentityProvider:
    running.reset()
    monkeypatch.setenv(VARIABLE, SECRET)
    return running


@pytest.fixture
def where(path: Path) -> str:
    """Who may sign in does not depend on the engine."""
    return str(new_file(path))


def config_of(provider: IdentityProvider, **settings: Any) -> Config:
    oidc = {"issuer": provider.url, "client_id": CLIENT, "roles": ROLES, **settings}
    return Config.model_validate({"dashboard": {"oidc": oidc}})


@pytest.fixture
def browser(visit: SignIn, provider: IdentityProvider) -> TestClient:
    """A browser at a dashboard with single sign-on; nobody has signed in."""
    return visit(config=config_of(provider))


def go(browser: TestClient) -> str:
    """Go to the provider, and return the address that it sends the browser back to."""
    to = browser.get("/sign-in/sso")
    assert to.status_code == 302, to.text
    answer = httpx.get(to.headers["location"])
    assert answer.status_code == 302
    return answer.headers["location"]


def events(store: Store) -> list[tuple[str, str, str]]:
    rows = store.read(lambda database: latest_events(database, limit=9))
    return [(row.event, row.subject, row.outcome) for row in rows]


def test_signing_in(browser: TestClient, provider: IdentityProvider, store: Store) -> None:
    """The user has the highest role of the groups; what the way needed is deleted at its end."""
    assert f'href="{urlsplit(ADDRESS).path}/sign-in/sso"' in browser.get("/now").text
    provider.claims["groups"] = ["staff", "llm-operators", "others"]
    back = go(browser)
    (asked,) = provider.asked
    assert asked["redirect_uri"] == f"{ADDRESS}{CALLBACK}"
    assert (asked["scope"], asked["response_type"]) == ("openid profile email", "code")
    answer = browser.get(back)
    assert (answer.status_code, answer.headers["refresh"]) == (200, "0; url=/")
    assert "You are sso:ann." in answer.text
    session, way = answer.headers.get_list("set-cookie")[::-1]
    assert session.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in session.split(";")}
    assert way.startswith(f'{COOKIE}_sso="";')
    assert "Signed in as sso:ann (operator)" in browser.get("/now").text
    assert events(store) == [("dashboard.signed_in", "sso:ann", "done")]


def test_the_cookie_of_the_way(browser: TestClient, visit: SignIn, provider: IdentityProvider) -> None:
    """It must come back from another site; no script reads it; it is short-lived, for these paths only."""
    made = browser.get("/sign-in/sso").headers["set-cookie"]
    parts = {part.strip() for part in made.split(";")}
    assert made.startswith(f"{COOKIE}_sso=")
    assert {"HttpOnly", "SameSite=lax", "Path=/sign-in/sso", "Max-Age=600"} <= parts
    assert "Secure" not in parts
    secure = visit(config=config_of(provider), secure=True).get("/sign-in/sso").headers["set-cookie"]
    assert "; Secure" in secure


def _other_key(provider: IdentityProvider) -> None:
    provider.signing_key = jwk.RSAKey.generate_key(2048, {"kid": "1"})


def _signed(alg: str, secret: Callable[[IdentityProvider], bytes]) -> Callable[[IdentityProvider], None]:
    def sign(provider: IdentityProvider) -> None:
        provider.header = {"alg": alg, "kid": "1"}
        provider.signing_key = secret(provider)

    return sign


def _claims(**claims: Any) -> Callable[[IdentityProvider], None]:
    return lambda provider: provider.claims.update(claims)


TAMPERED: dict[str, Callable[[IdentityProvider], None]] = {
    "another audience": _claims(aud="another-client"),
    "another audience, authorized for us": _claims(aud="another-client", azp=CLIENT),
    "no audience": _claims(aud=None),
    "another issuer": _claims(iss="https://login.example"),
    "an issuer that begins alike": _claims(iss="http://127.0.0.1"),
    "another nonce": _claims(nonce="of-another-sign-in"),
    "no nonce": _claims(nonce=None),
    "expired": _claims(exp=int(time.time()) - 600, iat=int(time.time()) - 900),
    "no expiry": _claims(exp=None),
    "no subject": _claims(sub=None),
    "unsigned": _signed("none", lambda _: b""),
    "another key": _other_key,
    "signed with our secret": _signed("HS256", lambda _: SECRET.encode()),
    "signed with the public key": _signed("HS256", lambda provider: provider.key.as_pem(private=False)),
    "a name that no database holds": _claims(preferred_username="a\0b"),
    "another secret": lambda provider: setattr(provider, "secret", "another"),
}


@pytest.mark.parametrize("tamper", TAMPERED)
def test_a_token_that_is_not_right(
    browser: TestClient, provider: IdentityProvider, access: Access, store: Store, tamper: str
) -> None:
    """Nobody gets in by it, and the page says no more than that it failed."""
    TAMPERED[tamper](provider)
    answer = browser.get(go(browser))
    assert (answer.status_code, "Single sign-on failed" in answer.text) == (401, True)
    assert access.sessions() == []
    assert events(store) == []
    assert browser.get("/now").status_code == 401


@pytest.mark.parametrize(
    "bend",
    [
        lambda back: re.sub("state=[^&]*", "state=forged", back),
        lambda back: back.partition("&state=")[0],
        lambda back: re.sub("code=[^&]*", "code=", back),
        lambda back: f"{ADDRESS}{CALLBACK}?error=access_denied&error_description=<script>",
        lambda _: f"{ADDRESS}{CALLBACK}",
    ],
)
def test_a_way_back_that_is_not_right(
    browser: TestClient, access: Access, bend: Callable[[str], str]
) -> None:
    """Another state, none, no code, and the provider's refusal."""
    answer = browser.get(bend(go(browser)))
    assert (answer.status_code, "Single sign-on failed" in answer.text) == (401, True)
    assert "<script>" not in answer.text
    assert access.sessions() == []


def test_a_way_back_of_another_browser(
    browser: TestClient, visit: SignIn, provider: IdentityProvider, access: Access
) -> None:
    """An address sent by a stranger signs nobody in as the stranger: the cookie of the way is missing."""
    back = go(browser)
    other = visit(config=config_of(provider))
    assert other.get(back).status_code == 401
    other.cookies.set(f"{COOKIE}_sso", "forged")
    assert other.get(back).status_code == 401
    assert access.sessions() == []
    assert browser.get(back).status_code == 200
    assert browser.get(back).status_code == 401  # a second time


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"issuer": "https://login.example"}, "the provider calls itself 'https://login.example'"),
        ({"token_endpoint": "http://login.example/token"}, "the provider's token_endpoint is not https"),
        ({"jwks_uri": None}, "error"),
    ],
)
def test_a_provider_that_is_another(
    visit: SignIn,
    provider: IdentityProvider,
    metadata: dict[str, Any],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only the configured issuer is believed, and nothing goes over the network in clear."""
    provider.metadata = metadata
    answer = visit(config=config_of(provider)).get("/sign-in/sso")
    assert (answer.status_code, "Single sign-on failed" in answer.text) == (401, True)
    assert reason in caplog.text
    assert provider.asked == []


def test_without_a_group_nobody_gets_in(
    browser: TestClient, provider: IdentityProvider, access: Access, store: Store
) -> None:
    """The page says so, and the audit too; groups may also be one text."""
    for groups in (None, [], ["others"], "others", ["Staff", "staff "], [["staff"]], {"staff": 1}, 7):
        provider.claims["groups"] = groups
        answer = browser.get(go(browser))
        assert (answer.status_code, "None of your groups may use the dashboard" in answer.text) == (403, True)
        assert access.sessions() == []
    assert ("dashboard.sign_in.refused", "sso:ann", "no group with a role") in events(store)
    provider.claims["groups"] = "llm-admins"
    assert browser.get(go(browser)).status_code == 200
    assert "(admin)" in browser.get("/now").text


def test_an_edit_of_the_settings_ends_the_sessions(
    browser: TestClient, visit: SignIn, provider: IdentityProvider
) -> None:
    """Whoever signed in under other settings signs in again; so nobody keeps a role that was taken away."""
    assert browser.get(go(browser)).status_code == 200
    same, other = visit(config=config_of(provider)), visit(config=config_of(provider, roles={"x": "viewer"}))
    for dashboard, status in ((same, 200), (other, 401)):
        dashboard.cookies.update(browser.cookies)
        assert dashboard.get("/now").status_code == status


@pytest.mark.parametrize("kept", ["in the vault", "nowhere"])
def test_where_the_secret_is(
    visit: SignIn, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, store: Store, kept: str
) -> None:
    """A slot of the vault, or none, for a client that proves itself by PKCE alone."""
    monkeypatch.delenv(VARIABLE)
    provider.secret = None
    settings = {}
    if kept == "in the vault":
        monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)
        open_vault(store).add("sso", "primary", Secret(SECRET))
        provider.secret, settings = SECRET, {"client_secret": "vault:sso"}
    browser = visit(config=config_of(provider, **settings))
    assert browser.get(go(browser)).status_code == 200


def test_a_secret_that_is_missing(
    visit: SignIn, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which."""
    browser = visit(config=config_of(provider, client_secret="vault:sso"))
    assert browser.get("/sign-in/sso").status_code == 401
    assert "sso" in caplog.text
    assert "dashboard.sso.failed" in caplog.text


def test_a_provider_that_does_not_answer(visit: SignIn, provider: IdentityProvider) -> None:
    """The page says that it failed, and the dashboard goes on."""
    config = config_of(provider, issuer="http://127.0.0.1:9")
    assert visit(config=config).get("/sign-in/sso").status_code == 401


def test_behind_a_proxy_the_way_is_by_its_address(visit: SignIn, provider: IdentityProvider) -> None:
    """The provider sends the browser back to the configured address, and the link leads there too."""
    oidc = config_of(provider).dashboard.oidc.model_dump()
    config = Config.model_validate({"dashboard": {"address": "https://dashboard.example", "oidc": oidc}})
    browser = visit(config=config)
    assert 'href="https://dashboard.example/sign-in/sso"' in browser.get("/").text
    location = browser.get("/sign-in/sso").headers["location"]
    assert "redirect_uri=https%3A%2F%2Fdashboard.example%2Fsign-in%2Fsso%2Fcallback" in location


def test_no_answer_has_a_secret_or_a_token(
    browser: TestClient, provider: IdentityProvider, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The client's secret, the tokens and the code are in no page, cookie, header, log or audit."""
    to = browser.get("/sign-in/sso")
    back = httpx.get(to.headers["location"]).headers["location"]
    code = re.search("code=([^&]*)", back)
    assert code
    answers = [to, browser.get(back)]
    provider.secret = "another"
    answers += [browser.get(go(browser)), browser.get("/access"), browser.get("/now")]
    seen = "".join(answer.text + str(answer.headers) for answer in answers) + caplog.text
    seen += json.dumps(events(store))
    assert "sso:ann" in seen
    for secret in (SECRET, "an-access-token", code[1], "eyJ"):
        assert secret not in seen, secret
