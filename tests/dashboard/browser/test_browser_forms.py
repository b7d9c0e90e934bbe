"""Forms in a browser: signing in by password and single sign-on, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from supernova_ai.config import Config
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.processes import Processes
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.secret import Secret
from tests.dashboard.browser.served import DESKTOP, LOOKS, PHONE, Served, check, violations
from tests.dashboard.conftest import CHEAP
from tests.dashboard.control_panel import Panel, put_alerts
from tests.databases import new_file
from tests.identity_provider import CLIENT, SECRET, IdentityProvider

pytestmark = pytest.mark.proof

PASSWORD = "correct horse battery"
FORMS = ("acknowledge?alert=1", "price?model=openai/gpt-4o-mini", "setting", "file", "rotate")


@pytest.fixture(scope="module")
def identity_provider() -> Iterator[IdentityProvider]:
    """A provider at another site: to browsers another name is one, and another port is not."""
    provider = IdentityProvider("localhost")
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def with_users(
    serve: Callable[..., Served],
    tmp_path_factory: pytest.TempPathFactory,
    identity_provider: IdentityProvider,
) -> Iterator[Served]:
    """A dashboard with a user and single sign-on."""
    database = str(new_file(tmp_path_factory.mktemp("users") / "supernova.db"))
    hashed = Passwords(CHEAP).hash(PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPERNOVA_HOME", str(Path(database).parent))
        VaultAccess(database).audited(
            lambda database, record: users.add(
                database, record, 1, name="ann", role=Role.OPERATOR, password_hash=hashed
            )
        )
        oidc = {"issuer": identity_provider.url, "client_id": CLIENT, "roles": {"staff": "viewer"}}
        config = Config.model_validate({"dashboard": {"oidc": oidc}})
        yield serve(database, config, passwords=Passwords(CHEAP))


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_to_sign_in(with_users: Served, chromium: Browser, look: str) -> None:
    """It fits the screen, keeps to the policy, and axe finds no violation; also after a wrong password."""
    page = chromium.new_page(**LOOKS[look])
    page.goto(f"{with_users.address}/now")
    for wrong in (False, True):
        if wrong:
            page.get_by_label("Name").fill(look)
            page.get_by_label("Password").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
        assert page.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["viewport"]["width"]
        for colours in ("light", "dark"):
            page.emulate_media(color_scheme=colours, reduced_motion="reduce")
            assert violations(page) == []


def test_signing_in_with_a_password(with_users: Served, chromium: Browser) -> None:
    """The name has the focus; the form works without scripts; an administrator ends the session."""
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(with_users.address)
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Ann")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
    sessions = with_users.open("access").get_by_role("region", name="Sessions")
    sessions.get_by_role("row", name="ann operator password").get_by_role("button").click()
    expect(sessions.get_by_role("row", name="ann operator password")).to_have_count(0, timeout=20_000)
    expect(sessions.get_by_role("row", name="ann admin link")).to_have_count(1)
    page.reload()
    expect(page.get_by_label("Name")).to_be_visible()


def test_single_sign_on(
    with_users: Served,
    chromium: Browser,
    identity_provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a provider at another site the browser comes back signed in, under all rules for cookies."""
    monkeypatch.setenv("SUPERNOVA_OIDC_CLIENT_SECRET", SECRET)
    page = chromium.new_context().new_page()
    page.goto(f"{with_users.address}/money")
    page.get_by_role("link", name="Sign in with single sign-on").click()
    expect(page.get_by_role("heading", name="Now", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_attribute(
        "title", "Signed in as sso:ann (viewer)"
    )
    assert page.url == f"{with_users.address}/now"
    assert identity_provider.asked


@pytest.fixture
def controlled(panel: Panel, serve: Callable[..., Served], where: str) -> Iterator[Served]:
    """A dashboard with controls, which run in this process."""
    panel.vault.add("openai", "primary", Secret("sk-test-0123456789abcdef"))
    panel.set(dashboard={"try_prompts": True})
    put_alerts(panel.store, "backup", "probes")
    with closing(Processes(panel.file, make=partial(ThreadPoolExecutor, 1))) as processes:
        yield serve(where, panel.loaded.config, processes=processes)


def test_a_control(panel: Panel, controlled: Served) -> None:
    """From its link over the form and what will happen to what was done, with and without scripts."""
    for scripts, limit in ((True, "75"), (False, "85")):
        page = controlled.open("money", controlled.sign_in(**PHONE, java_script_enabled=scripts))
        page.get_by_role("link", name="Edit daily", exact=True).click()
        page.get_by_label("Limit in USD").fill(limit)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_text(f"→ {limit}")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Change the budget").click()
        expect(page.get_by_text("Done")).to_be_visible(timeout=60_000)
        page.get_by_role("link", name="Back to Money").click()
        expect(page.locator("h1")).to_have_text("Money")
        assert panel.loaded.config.budgets[0].limit == int(limit)
    assert controlled.problems == []


def test_the_pages_of_controls(controlled: Served) -> None:
    """Each form fits the screen, and axe finds no violation; so with the links to controls on the pages."""
    page = controlled.sign_in(**PHONE).new_page()
    for name in ("now", "money", "keys", *(f"control/{form}" for form in FORMS)):
        check(controlled, page, name)
    page = controlled.sign_in(**DESKTOP).new_page()
    for name in ("keys", "control/rotate"):
        check(controlled, page, name, dark=False)
