"""The pages: what they show of an empty and of a full ledger, on both engines, and what they never show."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from supernova_ai.dashboard import rendering
from supernova_ai.dashboard.page import Page, Reading
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.dashboard.pages.money import MONEY
from supernova_ai.dashboard.pages.now import NOW
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.ledger import labels
from supernova_ai.secret import Secret
from supernova_ai.store import ReadOnlyStore, Store
from tests.dashboard.conftest import CONFIG, Put, SignIn, render_each_time
from tests.reports.answered import answered, rated

XSS = """<script>alert(1)</script>"><img src=x onerror=alert(1)>'{{7*7}}${7*7}"""

NAMES = [page.name for page in PAGES]
LEDGER = [page.name for page in PAGES[:4]]
"""The pages that every attempt changes."""


@pytest.fixture
def full(put: Put) -> None:
    """Attempts that were settled, released, lost and are held, of users, teams and tags."""
    tags = labels.to_text({"desk": "fx"})
    put("0.25", user_id="ann", team="equities", tags=tags)
    put("0.10", user_id="ben", provider="anthropic", model="claude", tier="premium", task="analysis")
    put("0.05", user_id="ben", provider="anthropic", model="claude", message="limit 500, try again in 6m0s")
    put("0.04", state="lost")
    put("0.03", user_id="chiara", state="held")


@pytest.mark.parametrize("name", LEDGER)
def test_an_empty_ledger_says_what_to_do(sign_in: SignIn, name: str) -> None:
    """No page fails for want of data."""
    page = sign_in().get(f"/{name}")
    assert page.status_code == 200
    assert "cannot be shown" not in page.text
    assert "supernova chat" in page.text


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("name", NAMES)
def test_every_part_is_shown(sign_in: SignIn, name: str) -> None:
    """A page has every part, as its address of the parts gives them too; none fails."""
    browser = sign_in()
    page, parts = browser.get(f"/{name}").text, browser.get(f"/{name}/parts").text
    (asked,) = (page for page in PAGES if page.name == name)
    for text in (page, parts):
        assert "cannot be shown" not in text
        for part in asked.parts:
            assert f'<div class="part" id="{part.name}" data-tag="' in text


def text_of(html: str) -> str:
    """Return the text without its tags, and each run of white space as one space."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.mark.usefixtures("full")
def test_now(sign_in: SignIn) -> None:
    """It shows the providers, what is held and by whom, the latest attempts, and the zone of its times."""
    shown = text_of(sign_in().get("/now").text)
    assert "Times are Europe/Paris" in shown
    assert "Held now $0.03 1 attempt in flight" in shown
    assert "Spent today $0.39 4 attempts" in shown
    assert re.search(r"chiara process \d+ on \S+ gpt openai · since \d\d:\d\d:\d\d \$0\.03", shown)
    assert re.search(
        r"claude anthropic released RateLimited ben – analysis|claude anthropic released RateLimited", shown
    )
    assert "anthropic" in shown
    assert re.search(r"Requests a minute \d+ 5 in the last hour", shown)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("query", "users"),
    [
        ({}, {"ann", "ben", "chiara"}),
        ({"provider": "anthropic"}, {"ben"}),
        ({"model": "gpt", "state": "settled"}, {"ann"}),
        ({"user": "ann"}, {"ann"}),
        ({"state": "held"}, {"chiara"}),
        ({"user": "nobody"}, set()),
        ({"user": "x" * 5000}, {"ann", "ben", "chiara"}),
        ({"unknown": "x"}, {"ann", "ben", "chiara"}),
    ],
)
def test_the_feed_is_filtered(sign_in: SignIn, query: Mapping[str, str], users: set[str]) -> None:
    """Only attempts that have all the values are shown, in the page and when it is read anew."""
    browser = sign_in()
    for path in ("/now", "/now/parts"):
        feed = browser.get(path, params=query).text.partition('id="feed"')[2].partition('id="held"')[0]
        assert {name for name in ("ann", "ben", "chiara") if name in text_of(feed)} == users
    assert ("No attempt of the last 7 days is like this." in feed) == (not users)


@pytest.mark.usefixtures("full")
def test_money(sign_in: SignIn) -> None:
    """Spent, held and lost are told apart, for every budget."""
    shown = text_of(sign_in().get("/money").text)
    assert "This month $0.39 4 attempts" in shown
    assert "Lost this month $0.04 1 attempt of unknown cost" in shown
    assert "Held now $0.03 1 attempt in flight" in shown
    assert "today 21 % $0.39 of $2.00 $0.03 held · $0.04 lost · $1.58 left" in shown
    assert "each-user user ann 25 % $0.25 of $1.00 $0.75 left" in shown
    assert "not enough history" in shown


def test_savings_and_suggestions(sign_in: SignIn, store: Store) -> None:
    """They have their amounts and arithmetic; without data they say what is missing."""
    shown = text_of(sign_in().get("/money").text)
    assert "answer cache 0 answers from the cache" in shown
    assert "No advice this month." in shown
    assert "The answers of the last 30 days suggest nothing." in shown
    hour = store.now_ms() // 3_600_000
    answered(store, "openai/gpt-6-astra", 100, 1_500_000_000, cached=2, prompt="advice-stock", hour=hour)
    answered(store, "ollama/gemma4:12b", 1, 0, tier="standard", hour=hour)
    rated(store, "openai/gpt-6-astra", 50, quality=800, hour=hour)
    rated(store, "openai/gpt-6.1-sol", 50, quality=900, hour=hour)
    shown = text_of(sign_in().get("/money").text)
    assert re.search(r"answer cache 2 answers from the cache, .* \$0\.03 about", shown)
    assert "Cost of each – $1.50 / 0 records Explained Attempts Cost stock 102 $1.50" in shown
    assert (
        "Let openai/gpt-6.1-sol answer analysis: set routing.tasks.analysis to standard $1.20 less" in shown
    )
    assert "Mean quality 0.90 of 50 answers, against 0.80 of 50." in shown
    assert "fewer than 50 answers were rated: analysis by ollama/gemma4:12b." in shown


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("provider", "openai $0.29"),
        ("model", "openai/gpt $0.29"),
        ("user", "ann $0.25"),
        ("team", "equities $0.25"),
        ("task", "chat $0.29"),
        ("tier", "standard $0.29"),
        ("tag:desk", "fx $0.25"),
        ("wrong", "openai/gpt $0.29"),
        ("tag:'; DROP TABLE attempt", "openai/gpt $0.29"),
    ],
)
@pytest.mark.parametrize("period", ["today", "week", "month", "30 days", "wrong"])
def test_where_it_went(sign_in: SignIn, by: str, first: str, period: str) -> None:
    """The costs of any group, over any period, the most expensive first, with a file of the same."""
    browser, query = sign_in(), {"by": by, "period": period}
    page = browser.get("/money", params=query).text
    table = page.partition('id="breakdown"')[2].partition("<tbody>")[2]
    assert text_of(table).startswith(first)
    file = browser.get("/money.csv", params=query)
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="costs-by-[a-z0-9-]+\.csv"', file.headers["content-disposition"]
    )
    (row, *_) = csv.DictReader(io.StringIO(file.text))
    assert f"{row['name']} ${row['cost_usd']}" == first


def test_a_file_holds_no_formula(sign_in: SignIn, put: Put) -> None:
    """A spreadsheet runs nothing that a user's id says."""
    put(user_id="=cmd|' /C calc'!A0")
    rows = list(csv.DictReader(io.StringIO(sign_in().get("/money.csv?by=user").text)))
    assert rows[0]["name"] == "'=cmd|' /C calc'!A0"


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("span", ["day", "week", "month", "wrong"])
def test_performance_and_errors(sign_in: SignIn, span: str) -> None:
    """Models have their percentiles and tokens per second; errors their count, share, users and messages."""
    browser = sign_in()
    shown = text_of(browser.get("/performance", params={"span": span}).text)
    assert re.search(r"claude anthropic 861 ms 1\.01 s 215 ms 252 ms 378 50 % 2", shown)
    shown = text_of(browser.get("/errors", params={"span": span}).text)
    assert "Abandoned The caller left a stream before its end. What had arrived is paid." in shown
    assert "Set providers.NAME.limits to its limits" in shown
    assert re.search(r"not needed\. 1 25 % [\d.]+ 0 \S+", shown)
    assert "RateLimited anthropic · claude limit <*>, try again in <*>" in shown.replace("&lt;", "<").replace(
        "&gt;", ">"
    )


@pytest.mark.parametrize("name", NAMES)
def test_text_of_others_is_text(sign_in: SignIn, put: Put, name: str) -> None:
    """Ids, names and messages are escaped and cannot steer what is around them; neither can the address."""
    put(user_id=XSS, model=XSS, provider=XSS, team=XSS, task=XSS, tags=labels.to_text({"desk": XSS}))
    put(user_id=XSS, model=XSS, provider=XSS, message=XSS)
    put(user_id="ann\u202egpj.exe\x1b[2J", state="held")
    browser = sign_in()
    for query in (
        {},
        {"by": "user"},
        {"by": "tag:desk"},
        {"by": XSS},
        {"span": XSS},
        {"user": XSS, "state": XSS},
    ):
        for path in (f"/{name}", f"/{name}/parts"):
            answer = browser.get(path, params=query)
            assert answer.status_code == 200
            assert "cannot be shown" not in answer.text
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert "49" not in re.findall(r"\$?\{\{?7\*7\}?\}|\b49\b(?=\$)", answer.text)
            assert "\u202e" not in answer.text
            assert "\x1b" not in answer.text
    if name in ("now", "errors"):
        assert "&lt;script&gt;alert(1)" in browser.get(f"/{name}").text


@pytest.mark.usefixtures("full")
def test_no_script_or_style_in_a_page(sign_in: SignIn) -> None:
    """Nothing is inline, so that the policy needs no exception; nothing is fetched from elsewhere."""
    browser = sign_in()
    pages = [browser.get(f"/{name}").text for name in NAMES] + [browser.get("/none").text]
    for page in pages:
        assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r"(?:src|href|action)=\"(?!/|\?|#)", page)


CANARY = "sk-canary0123456789abcdefghij"


def test_no_key_in_a_page(sign_in: SignIn, store: Store, put: Put) -> None:
    """No answer has a key of the vault, or one that a provider repeated in an error."""
    Vault(store, MasterKey.of(bytes(32))).add("openai", "primary", Secret(CANARY))
    put(message=f"Incorrect API key provided: {CANARY}")
    browser = sign_in()
    texts = [browser.get(path).text for name in NAMES for path in (f"/{name}", f"/{name}/parts")]
    texts += [browser.get(f"/money.csv?by={by}").text for by in ("model", "error", "user")]
    assert [text for text in texts if "canary" in text or CANARY[8:20] in text] == []
    assert any("Incorrect API key provided" in text for text in texts)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("name", LEDGER)
def test_unchanged_parts_are_not_sent_again(
    sign_in: SignIn, put: Put, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A browser that has the parts gets a 304 without them, until an attempt changes them."""
    render_each_time(monkeypatch)
    browser = sign_in(still=True)
    first = browser.get(f"/{name}/parts")
    tag = first.headers["etag"]
    again = browser.get(f"/{name}/parts", headers={"if-none-match": tag})
    assert (again.status_code, again.text, again.headers["etag"]) == (304, "", tag)
    assert browser.get(f"/{name}/parts", headers={"if-none-match": '"other"'}).status_code == 200
    put("0.31", user_id="dora", message="a new failure" if name == "errors" else None)
    changed = browser.get(f"/{name}/parts", headers={"if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)
    assert sum(a != b for a, b in zip(*map(tags_of, (first.text, changed.text)), strict=True)) >= 1


def tags_of(html: str) -> list[str]:
    return re.findall(r'data-tag="(\w+)"', html)


HELD = next(part for part in NOW.parts if part.name == "held")


class Counted:
    """A part that counts how often it is read, and may fail."""

    def __init__(self) -> None:
        self.reads = 0
        self.failure: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, reading: Reading) -> Mapping[str, Any]:
        self.reads += 1
        assert self.go_on.wait(60)
        if self.failure:
            raise self.failure
        return HELD.read(reading)


@pytest.fixture
def counted(sign_in: SignIn) -> tuple[Counted, Callable[..., TestClient]]:
    part = Counted()
    read = replace(HELD, read=part.read, takes=("user",))
    parts = tuple(read if one is HELD else one for one in NOW.parts)
    return part, lambda: sign_in(pages=(Page("now", "Now", parts),))


def test_a_part_is_read_once_a_second_for_everybody(
    counted: tuple[Counted, Callable[..., TestClient]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many pages that show the same cost one reading; what is asked for otherwise is read apart."""
    part, sign_in = counted
    monkeypatch.setattr(rendering, "EVERY_S", 3600.0)
    browser = sign_in()
    for _ in range(5):
        assert browser.get("/now").status_code == browser.get("/now/parts?model=x").status_code == 200
    assert part.reads == 1
    browser.get("/now?user=ann")
    assert part.reads == 2


def test_an_edited_configuration_is_shown_at_once(
    put: Put, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is not yet due is read again."""
    monkeypatch.setattr(rendering, "EVERY_S", 3600.0)
    put("0.25")
    configs = [CONFIG]
    renderer = rendering.Renderer(ReadOnlyStore(where), lambda: configs[-1], ZoneInfo("UTC"), {"notice": ""})

    def budgets() -> str:
        return asyncio.run(renderer.parts(MONEY, {}))["budgets"]

    assert "edited" not in budgets()
    edited = CONFIG.budgets[0].model_copy(update={"name": "edited"})
    configs.append(CONFIG.model_copy(update={"budgets": (edited,)}))
    assert "edited" in budgets()


def test_a_slow_part_holds_up_no_page(
    counted: tuple[Counted, Callable[..., TestClient]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was shown before is shown until the part is rendered anew, unless it is too old by then."""
    part, sign_in = counted
    monkeypatch.setattr(rendering, "EVERY_S", 0.0)
    monkeypatch.setattr(rendering, "_SHARE", 0)
    monkeypatch.setattr(rendering, "QUICK_S", -1.0)
    with sign_in() as browser:
        assert browser.get("/now").status_code == 200
        part.go_on.clear()
        for _ in range(3):
            assert "Nothing is held" in browser.get("/now").text
        part.go_on.set()
        monkeypatch.setattr(rendering, "_STALE_S", -3600.0)
        assert "Nothing is held" in browser.get("/now").text
        assert part.reads >= 2
        part.failure = ZeroDivisionError()
        assert "This part cannot be shown" in browser.get("/now").text


def test_many_filters_take_little_memory(
    counted: tuple[Counted, Callable[..., TestClient]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest ones are kept."""
    part, sign_in = counted
    monkeypatch.setattr(rendering, "_MOST_KEPT", 4)
    monkeypatch.setattr(rendering, "EVERY_S", 3600.0)
    browser = sign_in()
    for user in ("a", "b", "c", "d", "a"):
        browser.get(f"/now/parts?user={user}")
    assert part.reads == 5


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret detail"), KeyError("x")])
def test_a_part_that_fails_says_so(
    counted: tuple[Counted, Callable[..., TestClient]], failure: Exception
) -> None:
    """The others are shown; the reason of an error of the program is in the log only."""
    part, sign_in = counted
    part.failure = failure
    page = sign_in().get("/now")
    assert page.status_code == 200
    assert "This part cannot be shown: the log has the reason" in page.text
    assert "secret detail" not in page.text
    assert 'id="traffic"' in page.text
    assert 'id="feed"' in page.text


def test_a_database_that_cannot_be_read(sign_in: SignIn, store: Store, where: str) -> None:
    """Every part says why; a file that cannot be made is an error page."""
    browser = sign_in()
    drop = "DROP TABLE usage_rollup"
    store.write(lambda database: database.execute_sql(drop)).result()
    page = browser.get("/money")
    assert page.status_code == 200
    assert "This part cannot be shown: the database could not be used" in page.text
    file = browser.get("/money.csv")
    assert (file.status_code, "the database could not be used" in file.text) == (503, True)
    password = re.search(r"://[^@/]*:([^@/]+)@", where)
    assert not password or password[1] not in page.text


def test_generated_data_is_said_to_be_so(sign_in: SignIn) -> None:
    """The notice is on every page."""
    browser = sign_in(notice="Generated data")
    assert [name for name in NAMES if "Generated data" not in browser.get(f"/{name}").text] == []
