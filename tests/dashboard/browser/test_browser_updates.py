"""The pages in Chromium: drawn under the policy, usable by everybody, and live.

Where there is no Chromium the tests are skipped; on a CI machine they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from supernova_ai.config import Config
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Access, Role
from supernova_ai.dashboard.application import create_app
from supernova_ai.dashboard.controls.processes import Processes
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.vault_access import VaultAccess
from supernova_ai.demo.generated_ledger import generated_ledger
from supernova_ai.secret import Secret
from supernova_ai.store import ReadOnlyStore, Store
from tests.dashboard.conftest import CHEAP, CONFIG, Put
from tests.dashboard.control_panel import Panel, put_alerts
from tests.databases import new_file
from tests.identity_provider import CLIENT, SECRET, IdentityProvider
from tests.waiting import comes_true

pytestmark = pytest.mark.proof

PASSWORD = "correct horse battery"
NAMES = [*(page.name for page in PAGES), "access"]
FORMS = ("acknowledge?alert=1", "price?model=openai/gpt-4o-mini", "setting", "file", "rotate")
AXE = Path(__file__).with_name("axe.min.js")
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1360, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1360, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 760}, "device_scale_factor": 2},
    "phone-dark": {"color_scheme": "dark", "viewport": {"width": 360, "height": 760}},
}


class Served:
    """A dashboard on loopback, and a browser for it."""

    def __init__(self, browser: Browser, address: str, access: Access, server: uvicorn.Server) -> None:
        self._browser = browser
        self.address = address
        self.access = access
        self.server = server
        self.problems: list[str] = []

    @contextmanager
    def visitor(self, **options: Any) -> Iterator[Callable[[str], Page]]:
        """Yield what opens a page, of a browser that has signed in; what goes wrong in it is kept."""
        context = self._browser.new_context(**options)
        context.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        context.on("weberror", lambda failure: self._note(str(failure.error)))
        context.on("dialog", lambda dialog: self._note(f"dialog {dialog.message}"))
        context.on("request", lambda asked: None if self.address in asked.url else self._note(asked.url))
        context.new_page().goto(f"{self.address}/sign-in?token={self.access.link_token('ann', Role.ADMIN)}")

        def open_(path: str) -> Page:
            page = context.new_page()
            answer = page.goto(f"{self.address}/{path}")
            assert answer
            assert answer.ok
            return page

        yield open_
        context.close()

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve(chromium: Browser) -> Iterator[Callable[..., Served]]:
    """Serve the dashboard over a database until the module ends."""
    with ExitStack() as stopping:

        def run(database: str, config: Config = CONFIG, **options: Any) -> Served:
            listener = stopping.enter_context(socket.create_server(("127.0.0.1", 0)))
            access, zone = Access(), ZoneInfo("Europe/Paris")
            app = create_app(
                ReadOnlyStore(database),
                lambda: config,
                access,
                hosts=["127.0.0.1"],
                time_zone=zone,
                **options,
            )
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            stopping.callback(thread.join)
            stopping.callback(setattr, server, "should_exit", True)
            assert comes_true(lambda: server.started or not thread.is_alive())
            return Served(chromium, f"http://127.0.0.1:{listener.getsockname()[1]}", access, server)

        yield run


@pytest.fixture(scope="module")
def generated(serve: Callable[..., Served]) -> Iterator[Served]:
    with generated_ledger() as loaded:
        yield serve(loaded.database, loaded.config, notice="Generated data")


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


@pytest.fixture
def served(serve: Callable[..., Served], store: Store, where: str) -> Iterator[Served]:
    """A dashboard over the ledger of ``put``, which is empty at first."""
    served = serve(where)
    yield served
    served.server.should_exit = True


@pytest.fixture
def where(path: Path) -> str:
    """The browser need not know the engine."""
    return str(path)


def test_axe_is_the_published_file() -> None:
    """It is axe-core 4.14.0 as npm has it."""
    assert sha256(AXE.read_bytes()).hexdigest() == (
        "20c09fe157a8a34a30e241aaa1fcdade657734f08ab379ecfbeb7d45cc46e878"
    )


def violations(page: Page) -> list[str]:
    """Return what keeps people from using the page, as axe finds it."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def check(served: Served, look: str, name: str) -> None:
    """Open a page in one look: nothing is refused, foreign or too wide, and axe finds nothing."""
    with served.visitor(**LOOKS[look]) as open_:
        page = open_(name)
        expect(page.locator("main h1")).to_be_visible()
        for chart in page.locator(".chart").all():
            expect(chart.locator("canvas")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["viewport"]["width"]
    # The policy would refuse axe, so it gets a page without it.
    with served.visitor(**LOOKS[look], bypass_csp=True) as open_:
        assert violations(open_(name)) == []
    assert served.problems == []


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_with_data(generated: Served, look: str, name: str) -> None:
    """It is drawn without a word in the console, fits the screen, and axe finds no violation."""
    check(generated, look, name)


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_pages_without_data(served: Served, look: str) -> None:
    """So is each page of an empty ledger."""
    for name in NAMES:
        check(served, look, name)


def test_pages_for_those_who_are_not_signed_in(served: Served, chromium: Browser) -> None:
    """They are usable too."""
    for path, status in (("/now", 401), ("/sign-in?token=used", 401)):
        page = chromium.new_context(bypass_csp=True).new_page()
        answer = page.goto(f"{served.address}{path}")
        assert answer
        assert answer.status == status
        assert violations(page) == []


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_to_sign_in(with_users: Served, chromium: Browser, look: str) -> None:
    """It fits the screen, keeps to the policy, and axe finds no violation; also after a wrong password."""
    for wrong in (False, True):
        context = chromium.new_context(**LOOKS[look], bypass_csp=True)
        page = context.new_page()
        page.goto(f"{with_users.address}/now")
        if wrong:
            page.get_by_label("Name").fill(look)
            page.get_by_label("Password").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
        assert page.evaluate("document.documentElement.scrollWidth") <= LOOKS[look]["viewport"]["width"]
        assert violations(page) == []
        context.close()


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
    with with_users.visitor() as open_:
        sessions = open_("access").get_by_role("region", name="Sessions")
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


def test_new_attempts_appear_in_every_tab(served: Served, put: Put) -> None:
    """A new attempt is in all of ten tabs of one browser by their second question after it at the latest."""
    put(user_id="ann")
    with served.visitor() as open_:
        tabs = [open_("now") for _ in range(10)]
        asked: list[int] = [0] * len(tabs)
        for number, tab in enumerate(tabs):
            expect(tab.get_by_role("cell", name="ann", exact=True)).to_be_visible()
            tab.on("response", partial(_count, asked, number))
        put(user_id="ben")
        for number, tab in enumerate(tabs):
            tab.bring_to_front()
            asked[number] = 0
            expect(tab.get_by_role("cell", name="ben", exact=True)).to_be_visible(timeout=20_000)
            assert asked[number] <= 2
    assert served.problems == []


def _count(asked: list[int], number: int, answer: Response) -> None:
    asked[number] += answer.url.endswith("/now/parts")


def test_updates_disturb_nobody(served: Served, put: Put) -> None:
    """What is typed into a filter stays; so does the focus on a table that is drawn anew, and where it is."""
    put(user_id="ann")
    with served.visitor(**LOOKS["phone"]) as open_:
        page = open_("now")
        page.get_by_label("Model").fill("half a nam")
        table = page.get_by_role("region", name="Latest attempts")
        table.focus()
        put(user_id="ben")
        expect(table.locator("tbody tr")).to_have_count(2, timeout=20_000)
        expect(page.get_by_label("Model")).to_have_value("half a nam")
        expect(table).to_be_focused()


def test_updates_can_be_stopped(served: Served, put: Put) -> None:
    """The button stops them, and goes on with them."""
    put(user_id="ann")
    with served.visitor() as open_:
        page = open_("now")
        page.get_by_role("button", name="Live").click()
        expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
        put(user_id="ben")
        page.wait_for_timeout(4000)
        assert page.get_by_role("cell", name="ben", exact=True).count() == 0
        page.get_by_role("button", name="Paused").click()
        expect(page.get_by_role("cell", name="ben", exact=True)).to_be_visible(timeout=20_000)


def test_colours_are_chosen_and_kept(served: Served) -> None:
    """The button changes between light and dark, and the next page is as the last."""
    with served.visitor(color_scheme="light") as open_:
        page = open_("now")
        dark = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(dark)
        page.get_by_role("button", name="Change between light and dark").click()
        after = page.evaluate(dark)
        assert after != before
        page = open_("errors")
        assert page.evaluate(dark) == after
        page.get_by_role("button", name="Change between light and dark").click()
        assert page.evaluate(dark) == before


def test_the_keyboard_is_enough(served: Served, put: Put) -> None:
    """The first stop leads past the navigation; a link and a filter work without a pointer."""
    put(user_id="ann")
    with served.visitor() as open_:
        page = open_("now")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.get_by_label("User").focus()
        page.keyboard.type("nobody")
        page.keyboard.press("Enter")
        expect(page.get_by_text("No attempt of the last 7 days is like this.")).to_be_visible()


def test_without_scripts(served: Served, put: Put) -> None:
    """Everything but charts and updates is there, and signing out works."""
    put(user_id="ann")
    with served.visitor(java_script_enabled=False) as open_:
        page = open_("now?user=ann")
        assert page.get_by_role("cell", name="ann", exact=True).count() == 1
        page.get_by_role("button", name="Sign out").click()
        assert "You are signed out." in page.content()


def test_the_end_of_a_session_and_of_the_dashboard(served: Served) -> None:
    """A page whose session ended says how to sign in; one whose dashboard does not answer says that."""
    with served.visitor() as open_:
        page = open_("now")
        served.access.end("ann")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=20_000)
    with served.visitor() as open_:
        page = open_("now")
        expect(page.locator("#offline")).to_be_hidden()
        served.server.should_exit = True
        expect(page.locator("#offline")).to_be_visible(timeout=20_000)


def test_text_of_others_runs_nothing(served: Served, put: Put) -> None:
    """Ids, names and messages with markup are drawn as text, also when parts are replaced."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"`"
    names = {"user_id": hostile, "model": hostile, "provider": hostile, "team": hostile}
    put(**names)
    with served.visitor() as open_:
        for name in NAMES:
            page = open_(f"{name}?by=user")
            put(**names, message=hostile)
            page.wait_for_timeout(2500)
            assert page.locator("img[src=x], main script").count() == 0
    assert served.problems == []


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
        with controlled.visitor(**LOOKS["phone"], java_script_enabled=scripts) as open_:
            page = open_("money")
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
    for name in ("now", "money", "keys", *(f"control/{form}" for form in FORMS)):
        check(controlled, "phone-dark", name)
    for name in ("keys", "control/rotate"):
        check(controlled, "light", name)


def test_the_money_page_on_paper(generated: Served) -> None:
    """It prints without what only a screen needs, in light colours, on pages of A4."""
    with generated.visitor(color_scheme="dark") as open_:
        page = open_("money")
        page.emulate_media(media="print")
        expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
        expect(page.get_by_text("Generated data")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.pdf(format="A4").startswith(b"%PDF")
