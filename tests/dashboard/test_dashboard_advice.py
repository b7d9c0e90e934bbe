"""The page Advice: records, one of them with its facts and its chart, its replay, and the chain."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from supernova_ai.advisor import records
from supernova_ai.store import Store
from tests.advisor.sample_advice import GOOD
from tests.advisor.test_records import append, draft, run
from tests.dashboard.conftest import SignIn, render_each_time
from tests.dashboard.test_dashboard_pages import XSS, text_of


@pytest.fixture
def recorded(store: Store) -> None:
    append(store, draft(1, written=GOOD), draft(2, user="ben", symbol="KO"), draft(3, user=None, bars=None))


def test_without_records(sign_in: SignIn) -> None:
    """The page says how to make the first one."""
    page = sign_in().get("/advice").text
    assert "supernova advise --symbol AAPL" in page
    assert "cannot be shown" not in page


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ({}, ["AAPL", "KO", "AAPL"]),
        ({"symbol": "KO"}, ["KO"]),
        ({"user": "ann"}, ["AAPL"]),
        ({"user": "nobody"}, []),
    ],
)
def test_the_list(sign_in: SignIn, query: dict[str, str], symbols: list[str]) -> None:
    """Records are listed newest first, and are filtered by the symbol or the user, who is not named."""
    page = sign_in().get("/advice", params=query).text
    assert re.findall(r'href="/advice\?record=record-\d">([^<]+)<', page) == symbols
    assert ("No record of advice is like this." in page) == (not symbols)
    assert "ben" not in text_of(page)


@pytest.mark.parametrize(
    ("id_", "value", "shown"),
    [
        ("ex_date", "2026-11-20", "20 November 2026"),
        ("opened", "2026-11-20T09:30:00+00:00", "20 November 2026, 09:30 UTC"),
        ("news_1", "2026-11-20", "“2026-11-20”"),
        ("news_1", "2026-11-31", "“2026-11-31”"),
        ("news_1", "2026-11-20Tesla beats estimates", "“2026-11-20Tesla beats estimates”"),
        ("event", "2026-11-20T opening", "“2026-11-20T opening”"),
        ("event", "2026-13-31", "“2026-13-31”"),
    ],
)
def test_days_and_words_of_facts(sign_in: SignIn, store: Store, id_: str, value: str, shown: str) -> None:
    """A day is written as one; a headline or another text that looks like a day is shown as it is."""
    content: dict[str, Any] = json.loads(json.dumps(draft(1).content))
    content["computed"]["assessment"]["facts"][0] |= {"id": id_, "value": value}
    append(store, draft(1, content=content))
    page = sign_in().get("/advice?record=record-1").text
    assert "cannot be shown" not in page
    assert f" {shown} " in text_of(page)


@pytest.mark.usefixtures("recorded")
def test_a_record(sign_in: SignIn) -> None:
    """It has the action, the sentences with links to their facts, the signals, and a chart of its bars."""
    page = sign_in().get("/advice?record=record-1").text
    shown = text_of(page)
    assert "buy AAPL All records" in shown
    assert "Confidence 0.70" in shown
    assert "volume ↓ down 0.03 the on-balance volume is below its 20-day average" in shown
    facts = dict(re.findall(r'<tr id="(fact-\d+)">(.*?)</tr>', page, re.DOTALL))
    row = "50-day average $127.99 the mean of the last 50 closes sma_50"
    (fact,) = [id_ for id_, cells in facts.items() if row in text_of(cells)]
    sentence = re.search(r"is 3\.4 % above the 50-day average \(\$127\.99\)\.</span>((?: *<a.*?</a>)+)", page)
    assert sentence
    assert f'href="#{fact}"' in sentence[1]
    assert set(re.findall(r'href="#(fact-\d+)"', page)) <= set(facts)
    assert 'id="fact-6"' in page
    assert "last bar 20 November 2026" in shown
    chart = json.loads(re.search(r'data-chart="([^"]+)"', page)[1].replace("&#34;", '"'))  # type: ignore[index]
    assert [each["label"] for each in chart["series"]][2:] == ["Close", "20-day average", "50-day average"]
    assert chart["series"][2]["values"][-1] == 136.36
    assert round(chart["series"][4]["values"][-1], 2) == 127.99
    assert "Records" not in re.findall(r"<h2[^>]*>([^<]+)", page)


@pytest.mark.usefixtures("recorded")
def test_a_record_without_bars(sign_in: SignIn) -> None:
    """It says how later ones keep them, and that it cannot be replayed."""
    page = sign_in().get("/advice?record=record-3&replay=yes").text
    assert "advice.keep_bars: true" in page
    assert "kept no bars and cannot be replayed" in page


@pytest.mark.parametrize("id_", ["none", "record", "%", XSS])
@pytest.mark.usefixtures("recorded")
def test_no_such_record(sign_in: SignIn, id_: str) -> None:
    """The page says so, and leads back to the list."""
    page = sign_in().get("/advice", params={"record": id_, "replay": "yes"}).text
    assert re.search("(no record|several records) of advice ha(s|ve)", page)
    assert "<script>alert" not in page
    assert "cannot be shown" not in page


@pytest.mark.usefixtures("recorded")
def test_a_replay(sign_in: SignIn, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed when it is asked for only, and says what differs."""
    browser = sign_in()
    render_each_time(monkeypatch)
    assert "the result is" not in browser.get("/advice?record=record-1").text
    assert (
        "the result is the same, to the last digit" in browser.get("/advice?record=record-1&replay=yes").text
    )
    content = json.loads(store.read(lambda database: records.find(database, "record-2")).content)
    content["computed"]["assessment"]["score"] = -1.0
    run(store, "UPDATE advice SET content = ? WHERE id = 'record-2'", records.canonical(content))
    page = browser.get("/advice?record=record-2&replay=yes").text
    assert "the result is different" in page
    assert "assessment.score: -1.0 then, 0.4013 now" in page


@pytest.mark.usefixtures("recorded")
def test_the_chain(sign_in: SignIn, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is checked when it is asked for; a change to a record is found, and altered bars are not drawn."""
    browser = sign_in()
    render_each_time(monkeypatch)
    assert "3 records. Each has a hash" in text_of(browser.get("/advice").text)
    assert "no record was altered" in browser.get("/advice?check=yes").text
    run(store, "UPDATE advice SET bars = 'x' WHERE id = 'record-1'")
    assert "the bars of record 1 were altered" in browser.get("/advice?check=yes").text
    page = browser.get("/advice?record=record-1").text
    assert "the bars of record record-1 were altered" in page
    assert "data-chart" not in page


def older(design: int | None) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(draft(1).content))
    computed = content["computed"]
    for name in ("design", "sentences", "written", "repairs"):
        del computed[name]
    del computed["assessment"]["language"]
    return content | {"computed": computed | ({"design": design} if design else {})}


@pytest.mark.parametrize("design", [None, 2])
def test_a_record_of_an_older_design(sign_in: SignIn, store: Store, design: int | None) -> None:
    """Its text is shown as it was given."""
    append(store, replace(draft(1), content=older(design)))
    page = sign_in().get("/advice?record=record-1&replay=yes").text
    assert "As of 20 November 2026: buy AAPL." in page
    assert "cannot be shown" not in page
    assert "made by an older design of advice" in page


def test_text_of_a_record_is_text(sign_in: SignIn, store: Store) -> None:
    """Nothing in a record steers the page."""
    content: dict[str, Any] = json.loads(json.dumps(draft(1).content))
    computed = content["computed"]
    computed["sentences"][0]["text"] = computed["assessment"]["facts"][0]["value"] = XSS
    computed["assessment"]["signals"][0]["reason"] = computed["risk_notes"][0] = f"{XSS}\u202e"
    append(store, draft(1, symbol=XSS, content=content))
    browser = sign_in()
    for path in ("/advice", "/advice?record=record-1", "/advice/parts?record=record-1&replay=yes"):
        page = browser.get(path).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
