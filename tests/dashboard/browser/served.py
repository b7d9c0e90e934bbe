"""A dashboard on loopback as a browser sees it, and what is asked of each of its pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from supernova_ai.dashboard.access import Access, Role
from supernova_ai.dashboard.pages.now import NOW

AXE = Path(__file__).with_name("axe.min.js")
POLL_MS = round(1000 * NOW.every_s)
"""The page Now asks for news so often."""

DESKTOP: Mapping[str, Any] = {"viewport": {"width": 1360, "height": 860}}
PHONE: Mapping[str, Any] = {"viewport": {"width": 360, "height": 760}, "device_scale_factor": 2}
LOOKS = {"desktop": DESKTOP, "phone": PHONE}


class Served:
    """A dashboard on loopback. ``problems`` are what went wrong in the browsers that signed in."""

    def __init__(self, browser: Browser, address: str, access: Access, server: uvicorn.Server) -> None:
        self._browser = browser
        self.address = address
        self.access = access
        self.server = server
        self.problems: list[str] = []

    def sign_in(self, **options: Any) -> BrowserContext:
        """Return the context of an administrator who has signed in; its pages may not leave the dashboard."""
        # Colours that fade would be measured half-way.
        context = self._browser.new_context(reduced_motion="reduce", **options)
        context.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        context.on("weberror", lambda failure: self._note(str(failure.error)))
        context.on("dialog", lambda dialog: self._note(f"dialog {dialog.message}"))
        context.on("request", lambda asked: None if self.address in asked.url else self._note(asked.url))
        link = f"{self.address}/sign-in?token={self.access.link_token('ann', Role.ADMIN)}"
        assert context.request.get(link, max_redirects=0).status == 303
        return context

    def open(self, path: str, context: BrowserContext | None = None) -> Page:
        """Open a page in a new tab, whose clock can be moved."""
        page = (context or self.sign_in()).new_page()
        page.clock.install()
        answer = page.goto(f"{self.address}/{path}")
        assert answer
        assert answer.ok
        return page

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


def cell(page: Page, text: str) -> Locator:
    """Return the cells of tables with this text."""
    return page.get_by_role("cell", name=text, exact=True)


def violations(page: Page, rules: Mapping[str, Any] | None = None) -> list[str]:
    """Return what keeps people from using the page, as axe finds it."""
    page.evaluate(AXE.read_text(encoding="utf-8"))  # the policy forbids a script element
    found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **(rules or {})})
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def check(served: Served, page: Page, path: str, *, dark: bool = True) -> None:
    """Open a page: nothing is refused, foreign or too wide, and axe finds nothing, in light and in dark.

    Only the contrast depends on the colours, and it is the same in each look.
    """
    page.emulate_media(color_scheme="light")
    answer = page.goto(f"{served.address}/{path}")
    assert answer
    assert answer.ok
    expect(page.locator("main h1")).to_be_visible()
    for chart in page.locator(".chart").all():
        expect(chart.locator("canvas")).to_be_visible()
    assert page.viewport_size
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert violations(page) == []
    if dark:
        page.emulate_media(color_scheme="dark")
        assert violations(page, {"runOnly": ["color-contrast"]}) == []
    assert served.problems == []
