"""Pages that are open: what changes appears, disturbs nobody, and runs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from supernova_ai.dashboard.pages import PAGES
from tests.dashboard.browser.served import PHONE, POLL_MS, Served, cell
from tests.dashboard.conftest import Put

pytestmark = pytest.mark.proof


def test_new_attempts_appear_in_every_tab(served: Served, put: Put) -> None:
    """A new attempt is in all of ten tabs of one browser after the next question of each."""
    put(user_id="ann")
    context = served.sign_in()
    tabs = [served.open("now", context) for _ in range(10)]
    for tab in tabs:
        expect(cell(tab, "ann")).to_be_visible()
        tab.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    put(user_id="ben")
    for tab in tabs:
        tab.bring_to_front()
        tab.clock.run_for(POLL_MS)
        expect(cell(tab, "ben")).to_be_visible(timeout=20_000)
    assert served.problems == []


def test_updates_disturb_nobody(served: Served, put: Put) -> None:
    """What is typed into a filter stays; so does the focus on a table that is drawn again."""
    put(user_id="ann")
    page = served.open("now", served.sign_in(**PHONE))
    page.get_by_label("Model").fill("half a nam")
    table = page.get_by_role("region", name="Latest attempts")
    table.focus()
    put(user_id="ben")
    page.clock.run_for(POLL_MS)
    expect(table.locator("tbody tr")).to_have_count(2, timeout=20_000)
    expect(page.get_by_label("Model")).to_have_value("half a nam")
    expect(table).to_be_focused()


def test_updates_can_be_stopped(served: Served, put: Put) -> None:
    """The button stops them, and goes on with them."""
    put(user_id="ann")
    page = served.open("now")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    put(user_id="ben")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(10 * POLL_MS)
    assert asked == []
    assert cell(page, "ben").count() == 0
    page.get_by_role("button", name="Paused").click()
    expect(cell(page, "ben")).to_be_visible(timeout=20_000)


def test_the_end_of_a_session_and_of_the_dashboard(served: Served) -> None:
    """A page whose session ended says how to sign in; one whose dashboard does not answer says that."""
    page = served.open("now")
    served.access.end("ann")
    page.clock.run_for(POLL_MS)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=20_000)
    page = served.open("now")
    expect(page.locator("#offline")).to_be_hidden()
    served.server.should_exit = True
    expect(page.locator("#offline")).to_be_visible(timeout=20_000)


def test_text_of_others_runs_nothing(served: Served, put: Put) -> None:
    """Ids, names and messages with markup are drawn as text, also when parts are replaced."""
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"`"
    names = {"user_id": hostile, "model": hostile, "provider": hostile, "team": hostile}
    put(**names)
    context = served.sign_in()
    for name in (page.name for page in PAGES):
        page = served.open(f"{name}?by=user", context)
        put(**names, message=hostile)
        page.evaluate("poll()")
        assert page.locator("img[src=x], main script").count() == 0
        page.close()
    assert served.problems == []


def test_colours_are_chosen_and_kept(served: Served) -> None:
    """The button changes between light and dark, and the next page is as the last."""
    context = served.sign_in(color_scheme="light")
    page = served.open("now", context)
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.get_by_role("button", name="Change between light and dark").click()
    after = page.evaluate(colour)
    assert after != before
    page = served.open("errors", context)
    assert page.evaluate(colour) == after
    page.get_by_role("button", name="Change between light and dark").click()
    assert page.evaluate(colour) == before


def test_the_keyboard_is_enough(served: Served, put: Put) -> None:
    """The first stop leads past the navigation; a link and a filter work without a pointer."""
    put(user_id="ann")
    page = served.open("now")
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
    page = served.open("now?user=ann", served.sign_in(java_script_enabled=False))
    assert cell(page, "ann").count() == 1
    page.get_by_role("button", name="Sign out").click()
    assert "You are signed out." in page.content()
