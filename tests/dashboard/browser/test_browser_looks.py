"""How the pages look: drawn under the policy, on a desktop and on a phone, in light and dark colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256

import pytest
from playwright.sync_api import Browser, Page, expect

from supernova_ai.dashboard.pages import PAGES
from supernova_ai.demo.generated_ledger import generated_ledger
from tests.dashboard.browser.served import AXE, LOOKS, PHONE, Served, check, violations

pytestmark = pytest.mark.proof

NAMES = [*(page.name for page in PAGES), "access"]


@pytest.fixture(scope="module")
def generated(serve: Callable[..., Served]) -> Iterator[Mapping[str, tuple[Served, Page]]]:
    """A dashboard over generated data, with a page in each look."""
    with generated_ledger() as loaded:
        served = serve(loaded.database, loaded.config, notice="Generated data")
        yield {look: (served, served.sign_in(**options).new_page()) for look, options in LOOKS.items()}


def test_axe_is_the_published_file() -> None:
    """It is axe-core 4.14.0 as npm has it."""
    assert sha256(AXE.read_bytes()).hexdigest() == (
        "20c09fe157a8a34a30e241aaa1fcdade657734f08ab379ecfbeb7d45cc46e878"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_page_with_data(generated: Mapping[str, tuple[Served, Page]], name: str) -> None:
    """It is drawn without a word in the console, fits the screen, and axe finds no violation."""
    for look, (served, page) in generated.items():
        check(served, page, name, dark=look == "desktop")


def test_pages_without_data(served: Served) -> None:
    """So is each page of an empty ledger."""
    page = served.sign_in(**PHONE).new_page()
    for name in NAMES:
        check(served, page, name)


def test_pages_for_those_who_are_not_signed_in(served: Served, chromium: Browser) -> None:
    """They are usable too."""
    page = chromium.new_page()
    for path in ("/now", "/sign-in?token=used"):
        answer = page.goto(f"{served.address}{path}")
        assert answer
        assert answer.status == 401
        assert violations(page) == []


def test_the_money_page_on_paper(generated: Mapping[str, tuple[Served, Page]]) -> None:
    """It prints without what only a screen needs, in light colours, on pages of A4."""
    served, page = generated["desktop"]
    page.emulate_media(color_scheme="dark", media="print")
    page.goto(f"{served.address}/money")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    expect(page.get_by_text("Generated data")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="screen")
