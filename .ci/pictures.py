"""Make pictures of the dashboard's demo: those of docs/, or of every page into a folder.

    python .ci/pictures.py [FOLDER [PAGE ...]]

It needs the package chromium, or Chrome. In a folder, a picture is called after its page and look, such as
``money-phone-dark.png``. ``record`` is the page of the latest record of advice.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from supernova_ai.dashboard.pages import PAGES

DOCS = Path(__file__).resolve().parents[1] / "docs" / "pictures"
RECORD = "record"
IN_DOCS = {"money": 800, "now": 800, RECORD: 660}
"""The pages that docs/ and README show, and the height of each picture. Keep each below 120 kB."""

DESKTOP, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 844}
LOOKS: Mapping[str, Mapping[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": DESKTOP},
    "dark": {"color_scheme": "dark", "viewport": DESKTOP},
    "phone": {"color_scheme": "light", "viewport": PHONE},
    "phone-dark": {"color_scheme": "dark", "viewport": PHONE},
}


@contextmanager
def demo() -> Iterator[str]:
    """Yield the link that signs in at a dashboard with generated data."""
    supernova = [sys.executable, "-c", "from supernova_ai.cli import main; main()"]
    command = [*supernova, "dashboard", "--demo", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - words of ours
        assert process.stderr
        try:
            yield next(line.strip() for line in process.stderr if "token=" in line)
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def signed_in() -> Iterator[tuple[Browser, Any, str]]:
    """Yield a browser, the state of one that has signed in, and the address of the dashboard."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("no Chromium: install the package chromium")
    with demo() as link, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        visitor = browser.new_context()
        visitor.new_page().goto(link)
        yield browser, visitor.storage_state(), re.sub("/sign-in.*", "", link)
        browser.close()


def show(page: Page, address: str, name: str) -> None:
    """Open the page of this name, and wait until its charts are drawn."""
    page.goto(f"{address}/{'advice' if name == RECORD else name}")
    if name == RECORD:
        page.goto(address + str(page.locator("#records tbody a").first.get_attribute("href")))
    for chart in page.locator(".chart").all():
        chart.locator("canvas").wait_for()


def for_docs() -> None:
    """Make the pictures of docs/: the top of a page, in light colours."""
    with signed_in() as (browser, state, address):
        page = browser.new_context(storage_state=state, color_scheme="light").new_page()
        for name, height in IN_DOCS.items():
            page.set_viewport_size({"width": 1250, "height": height})
            show(page, address, name)
            page.screenshot(path=DOCS / f"{name}.png")


def of_everything(folder: Path, names: list[str]) -> None:
    """Make pictures of these whole pages, or of all, in every look."""
    with signed_in() as (browser, state, address):
        for look, options in LOOKS.items():
            page = browser.new_context(storage_state=state, **options).new_page()
            for name in names or [*(page.name for page in PAGES), RECORD]:
                show(page, address, name)
                page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        of_everything(Path(sys.argv[1]), sys.argv[2:])
    else:
        for_docs()
