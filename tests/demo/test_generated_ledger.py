"""The generated data of the dashboard's demo: they are in order, and every page has something to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from supernova_ai import ratings
from supernova_ai.advisor import records
from supernova_ai.advisor.replay import replay
from supernova_ai.config import Loaded
from supernova_ai.dashboard.access import Access, Role
from supernova_ai.dashboard.application import create_app
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.demo.generated_ledger import generated_ledger
from supernova_ai.store import ReadOnlyStore, Store
from supernova_ai.upkeep.verify import verify_ledger


@pytest.fixture(scope="module")
def generated() -> Iterator[Loaded]:
    with generated_ledger() as loaded:
        yield loaded


def test_the_records_are_in_order(generated: Loaded, tmp_path: Path) -> None:
    """Every sum, rating and record of advice is as if the package itself had written it."""
    with Store(generated.database) as store:
        assert verify_ledger(store, generated.config.all_budgets, folder=tmp_path).problems == ()
        assert store.read(ratings.contradictions) == []
        assert store.read(records.verify).ok
        advice = store.read(lambda database: records.latest(database, limit=None))
    assert len({row.symbol for row in advice}) > 3
    assert [replay(row).differences for row in advice[:3]] == [(), (), ()]


def test_every_page_has_something_to_show(generated: Loaded) -> None:
    """No part of a page is empty or fails; only at times is nothing held."""
    access = Access()
    app = create_app(
        ReadOnlyStore(generated.database),
        lambda: generated.config,
        access,
        hosts=["127.0.0.1"],
        time_zone=ZoneInfo("UTC"),
    )
    browser = TestClient(app, base_url="http://127.0.0.1:8766")
    browser.get("/sign-in", params={"token": access.link_token("ann", Role.ADMIN)})
    found = {page.name: browser.get(f"/{page.name}").text for page in PAGES}
    record = re.search(r'href="(/advice\?record=\w+)"', found["advice"])
    assert record
    found["record"] = browser.get(record[1]).text
    for text in found.values():
        assert re.findall(r'<p class="empty">(?!Nothing is held)([^<]*)', text) == []
        assert "cannot be shown" not in text
