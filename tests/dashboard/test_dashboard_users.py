"""The page Users: cost, quality and feedback of each, and when and for what they ask."""

from __future__ import annotations

from typing import Any

import pytest

from supernova_ai.store import Store
from supernova_ai.store.tables import AttemptRow, RatingRow
from tests.dashboard.conftest import Put, SignIn
from tests.dashboard.test_dashboard_pages import XSS, text_of


@pytest.fixture
def asked(store: Store, put: Put) -> None:
    """Attempts of two users and of none, and ratings of ann's."""
    put("0.25", user_id="ann")
    put("0.10", user_id="ann", task="analysis", tier="premium")
    put("0.05", user_id="ben", message="too many")
    put("0.01")

    def rate(database: Any) -> None:
        for row in AttemptRow.select().where(AttemptRow.user == "ann").execute(database):
            RatingRow.insert(
                request=row.request,
                user="ann",
                provider=row.provider,
                model=row.model,
                task=row.task,
                prompt="",
                started_ms=row.started_ms,
                quality=900,
                score=-500 if row.task == "analysis" else 1000,
            ).execute(database)

    store.write(rate).result()


def test_without_users(sign_in: SignIn) -> None:
    """The page says how to ask for a user."""
    page = sign_in().get("/users").text
    assert "supernova chat --user ann" in page
    assert "cannot be shown" not in page


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("span", ["day", "week", "month", "wrong"])
def test_each_user(sign_in: SignIn, span: str) -> None:
    """Each has the cost, the attempts, the quality and the feedback; the tiles have the means of all."""
    shown = text_of(sign_in().get("/users", params={"span": span}).text)
    assert "Users 2 in the last" in shown
    assert "Cost $0.36 $0.175 a user" in shown
    assert "Quality 90 % 2 checked answers Feedback +0.25 2 ratings" in shown
    assert "ann $0.35 2 100 % 90 % 2 checked +0.25 2 ratings" in shown
    assert "ben $0.00 1 0 % – 0 checked – 0 ratings" in shown
    assert "no user $0.01 1 100 %" in shown


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("query", "tasks", "busiest"),
    [
        ({}, "chat standard 3 75 % $0.26 analysis premium 1 25 % $0.10", "3 attempts|4 attempts"),
        ({"user": "ann"}, "analysis premium 1 50 % $0.10 chat standard 1 50 % $0.25", "2 attempts|1 attempt"),
        ({"user": "nobody"}, "No attempt in the last 24 hours.", ""),
    ],
)
def test_patterns(sign_in: SignIn, query: dict[str, str], tasks: str, busiest: str) -> None:
    """Tasks, tiers and hours are those of everybody, or of the chosen user."""
    shown = text_of(sign_in().get("/users", params=query).text)
    assert tasks in shown
    if busiest:
        assert any(f"At most {most} in an hour of the week" in shown for most in busiest.split("|"))
    assert ("Hours of ann" in shown) == (query.get("user") == "ann")


def test_names_are_text(sign_in: SignIn, put: Put) -> None:
    """A user's id is escaped, in the link to it too."""
    put(user_id=XSS, task=XSS)
    browser = sign_in()
    for query in ({}, {"user": XSS}):
        page = browser.get("/users", params=query).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "user=%3Cscript%3E" in page
