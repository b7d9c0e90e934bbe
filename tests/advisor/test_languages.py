"""The texts of advice in each language: complete, all of use, and in the notation of the language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.advisor.bars import History, read_bars
from supernova_ai.advisor.ensemble import Action, Assessment, Holding, assess
from supernova_ai.advisor.explain import fact_table, layout, own_sentences, part_sides, risk_notes, summary
from supernova_ai.advisor.facts import Fact, Unit, comparable, rounded_value
from supernova_ai.advisor.language import language
from supernova_ai.advisor.news import NewsItem
from supernova_ai.advisor.portfolio import Correlation, portfolio_notes
from supernova_ai.advisor.request import read_request
from supernova_ai.advisor.slots import FactTable, UnknownSlot
from supernova_ai.config.advice import AdviceRules, AssetClass, LanguageCode, Regime, Strategy
from tests.advisor.sample_advice import SAMPLE, SEED

CODES: tuple[LanguageCode, ...] = get_args(LanguageCode)
CLIENTS = (10, 50, 90)  # risk scores
STEPS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
    "bar": timedelta(hours=2),
}
WITHOUT_PERIOD = ("facts.change_1.name",)
"""Texts that have {p} in English, and need none in German."""


def texts(code: LanguageCode) -> dict[str, str]:
    """Return each text of a language by its path, without the notation, and what only German has."""
    dump = language(code).model_dump(exclude={"name", "notation", "articles", "usual_article", "values"})
    found = dict(_leaves(dump))
    return {path: text for path, text in found.items() if not re.search(r"\.(article|object)$", path)}


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, tuple) else ()
    for key, value in pairs:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


@cache
def history(period: str) -> History:
    """Return old bars with a gap, a possible split and an unfinished bar."""
    step, start = STEPS[period], datetime(2026, 1, 1, tzinfo=UTC)
    rows: list[dict[str, Any]] = []
    for number, bar in enumerate((*SAMPLE.bars[:30], *SAMPLE.bars)):
        factor = 3 if number < 30 else 1
        prices = {name: factor * getattr(bar, name) for name in ("open", "high", "low", "close")}
        missing = 200 if number >= 50 else 0
        rows.append({"time": start + step * (number + missing), **prices, "volume": bar.volume})
    now = rows[-1]["time"] + 5000 * step
    return read_bars([*rows, {**rows[-1], "time": now}], now=now)


@cache
def assessment(asset_class: AssetClass, period: str, code: LanguageCode) -> Assessment:
    bars = history(period)
    last = bars.bars[-1].time.date()
    given: dict[str, Any] = {"asset_class": asset_class, "sentiment_hint": 0.3, "language": code}
    if asset_class == "option":
        given["option"] = {
            "strike": 1234.5,
            "expiry": last + timedelta(days=90),
            "type": "call",
            "underlying": "KO",
        }
        given["greeks"] = dict.fromkeys(("delta", "gamma", "theta", "vega", "rho", "implied_volatility"), 0.3)
    if asset_class in ("stock", "option"):
        opened = last - timedelta(days=90)
        given["position"] = {"quantity": 120, "cost_basis": 100.5, "weight": 0.3, "opened": opened}
        given["news"] = [NewsItem("Der Umsatz wuchs", "Reuters", last)]
        given["risk_per_trade"] = 500
    return read_request("AAPL", given).assess(bars, AdviceRules())


def rationales(found: Assessment) -> Iterator[str]:
    """Yield the texts of every action, holding and client."""
    for action, holding, risk in product(get_args(Action), get_args(Holding), CLIENTS):
        case = replace(found, action=action, holding=holding, risk_score=risk)
        own = (each for part in part_sides(action) for each in own_sentences(case, part))
        yield layout([*summary(case), *own], case)
        yield from risk_notes(case)


def variants(found: Assessment) -> Iterator[Assessment]:
    """Yield the assessment with every regime, with values below, inside and above a range, and no signals."""
    levels: list[tuple[Regime, float, float, float]] = [
        ("trending", 5, 1, -3),
        ("ranging", 50, 132, 0),
        ("volatile", 95, 999, 3),
    ]
    for regime, rsi, close, change in levels:
        values: dict[str, float | str] = {
            "regime": regime,
            "rsi_14": rsi,
            "close": close,
            "change_20": change,
        }
        values |= {"sma_20": 100, "sma_50": 100}
        values |= dict.fromkeys(("position_change", "position_gain", "position_size"), change)
        facts = tuple(replace(fact, value=values.get(fact.id, fact.value)) for fact in found.facts)
        own = (
            Fact("pe_ratio", 31.4, name="P/E", source="10-K"),
            Fact("growth", 4, name="growth", unit="percent", source="10-K", change_of="revenue"),
        )
        yield replace(found, regime=regime, facts=(*facts, *own), signals=())


def slots(table: FactTable) -> Iterator[str]:
    """Yield the text of every slot that the table has."""
    ids = [f"{{{id_}{form}}}" for id_ in table for form in ("", ".name", ".is", ".move")]
    pairs = [
        f"{{{first}.vs.{second}}}"
        for first, second in product(table, repeat=2)
        if comparable(table[first], table[second])
    ]
    for slot in (*ids, *pairs, *(f"{{note.{name}}}" for name in table.notes())):
        try:
            yield table.fill(slot)
        except UnknownSlot:
            continue


@cache
def everything(code: LanguageCode) -> tuple[str, ...]:
    """Return all texts that advice can have: of all cases, and of all slots of a stock and an option."""
    found: dict[str, None] = {}
    classes = [(asset_class, "day") for asset_class in get_args(AssetClass)]
    for asset_class, period in (*classes, *(("stock", period) for period in STEPS if period != "day")):
        case = assessment(asset_class, period, code)
        found |= dict.fromkeys(rationales(case))
        if asset_class in ("stock", "option"):
            found |= dict.fromkeys(f"{fact.name} | {fact.source}" for fact in case.facts)
            for variant in variants(case):
                found |= dict.fromkeys((*slots(fact_table(variant)), *rationales(variant)))
    pairs = [Correlation("KO", "PEP", 0.9, 120)]
    for weights in ({"KO": 0.4, "PEP": 0.1}, {}):
        found |= dict.fromkeys(portfolio_notes(weights, pairs, 0.8, language(code)))
    return tuple(found)


def test_the_languages_have_the_same_texts() -> None:
    """Every text of one language is in the other, with the same facts and periods in braces."""
    english, german = texts("en"), texts("de")
    assert list(english) == list(german)
    names = re.compile(r"\{[^}]+\}")
    differ = [
        path for path in english if set(names.findall(english[path])) != set(names.findall(german[path]))
    ]
    assert differ == [*WITHOUT_PERIOD]


def test_the_keys_are_those_of_the_package() -> None:
    """Actions, holdings, regimes, strategies, asset classes and periods are complete, and none is unknown."""
    for code in CODES:
        data = language(code)
        assert set(data.actions) == set(get_args(Action))
        for action in data.actions.values():
            assert set(action.decision) == set(action.position) == set(get_args(Holding))
        assert set(data.rationale.regimes) == set(get_args(Regime))
        assert set(data.rationale.signals) == set(get_args(Strategy))
        assert set(data.rationale.classes) == set(get_args(AssetClass))
        assert set(data.periods) == set(STEPS)
        assert {*data.statements.of, *data.comparison.owned} <= set(data.facts)
    values = language("de").values
    assert set(values["asset_class"]) == set(get_args(AssetClass))
    assert set(values["regime"]) == set(get_args(Regime))
    assert set(values["period"]) == set(STEPS)
    assert set(values["option_type"]) == {"call", "put"}


@pytest.mark.parametrize("code", CODES)
def test_every_text_is_used(code: LanguageCode) -> None:
    """Each text of the file is in some advice."""
    shown = "\n".join(everything(code)).lower()
    for path, text in texts(code).items():
        longest = max(re.split(r"\{[^}]+\}", text), key=len)
        assert longest.lower() in shown, f"{path}: {text}"


@pytest.mark.parametrize("code", CODES)
def test_no_text_has_a_slip(code: LanguageCode) -> None:
    """No brace, no two spaces or marks in a row, no space before a mark, and an end to every sentence."""
    for text in everything(code):
        assert not re.search(r"[{}]|  |[.,;:] ?[.,;:]| [.,;:)]|\( |None|--", text), text
        assert " | " in text or not re.search(r"[.!?] [a-zäöü]|\.[A-ZÄÖÜ]", text), text


GENITIVES = {"der": "des", "die": "der", "das": "des"}


def test_german_names_have_their_article() -> None:
    """Where an article stands before the name of a fact, it is one of its own: der MACD, die Wertung."""
    data = language("de")
    names: dict[str, set[str]] = {}
    for fact, period in product(data.facts.values(), data.periods.values()):
        names[fact.name.format(p=period.name)] = {*data.articles[fact.article], GENITIVES[fact.article]}
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    shown = "\n".join(everything("de"))
    found = set(re.findall(rf"\b([Dd](?:er|ie|as|em|en|es)) ({any_name})(?![\w-])", shown))
    assert len({name for _, name in found}) > len(data.facts)
    assert not {(article, name) for article, name in found if article.lower() not in names[name]}
    assert not re.search(r"\b(?:der|dem) (?:annualisierte|implizite) ", shown)


# fmt: off
COMMON = {
    "also", "stop",
    "adx", "aapl", "advice", "am", "an", "average", "b", "bollinger", "buy", "chart", "d", "delta", "di",
    "die", "directional", "fall", "futures", "gamma", "hat", "in", "index", "ko", "macd", "minute",
    "momentum", "of", "option", "p", "position", "range", "rho", "rsi", "sell", "signal", "so", "symbol",
    "theta", "trend", "true", "utc", "vega", "war", "was", "wilder",
}
# fmt: on
"""Words and names that both languages have."""


def test_german_texts_have_no_english_word() -> None:
    """The words of the English texts, except those that German has too, are in no German text."""
    english = {word for text in texts("en").values() for word in _words(text)} - COMMON
    for text in everything("de"):
        assert not english & set(_words(text)), text


def _words(text: str) -> list[str]:
    return re.findall(r"[a-zäöüß]+(?:-[a-zäöüß]+)*", re.sub(r"\{[^}]+\}|advice\.\w+", " ", text).lower())


def shown(found: Assessment) -> str:
    own = (each for part in part_sides(found.action) for each in own_sentences(found, part))
    return layout([*summary(found), *own], found)


def test_english_rationale() -> None:
    """Names have one article, and days and numbers the English notation."""
    assert shown(assess(SAMPLE, **SEED)) == (
        "## Summary\n\n"
        "As of 20 November 2026: buy AAPL. For a bold client (risk score 75 of 100): buy a full position. "
        "The signals and the news together point up: their score is 0.40, on a scale from -1 (all point "
        "down) to 1 (all point up), and this client buys from 0.21. The market is trending, so the signals "
        "that follow a trend count most. The confidence is 0.70 of 1: it says how clear the case is, not how "
        "likely a gain is.\n\n"
        "## What speaks for it\n\n"
        "The price rose by 16.1 % over 63 days. The 20-day average ($132.28) is 3.4 % above the 50-day "
        "average ($127.99).\n\n"
        "## What speaks against it\n\n"
        "The on-balance volume is below its 20-day average.\n\n"
        "## Risk\n\n"
        "An ordinary day moves the price by $1.92, which is 1.4 % of the close. The annualised volatility "
        "is 18.4 %. At the worst time, the close was 9.4 % below the highest close before it."
    )


def test_german_rationale() -> None:
    """The same in German: the article of a name is that of its case."""
    assert shown(assess(SAMPLE, **SEED, language="de")) == (
        "## Zusammenfassung\n\n"
        "Stand 20. November 2026: AAPL kaufen. Für einen risikofreudigen Kunden (Risikobereitschaft 75 von "
        "100): eine volle Position kaufen. Zusammen zeigen die Signale und die Nachrichten nach oben: Ihre "
        "Wertung beträgt 0,40 auf einer Skala von -1 (alle zeigen nach unten) bis 1 (alle zeigen nach oben), "
        "und dieser Kunde kauft ab 0,21. Der Markt folgt einem Trend, darum zählen die Signale für einen "
        "Trend am meisten. Die Eindeutigkeit beträgt 0,70 von 1: Sie sagt, wie klar der Fall ist, nicht, wie "
        "wahrscheinlich ein Gewinn ist.\n\n"
        "## Was dafür spricht\n\n"
        "Der Kurs stieg über 63 Tage um 16,1 %. Der 20-Tage-Durchschnitt (132,28 $) liegt 3,4 % über dem "
        "50-Tage-Durchschnitt (127,99 $).\n\n"
        "## Was dagegen spricht\n\n"
        "Das On-Balance-Volumen liegt unter seinem 20-Tage-Durchschnitt.\n\n"
        "## Risiko\n\n"
        "An einem gewöhnlichen Tag bewegt sich der Kurs um 1,92 $, das sind 1,4 % des Schlusskurses. Die "
        "annualisierte Volatilität beträgt 18,4 %. In der schlechtesten Zeit lag der Schlusskurs 9,4 % "
        "unter dem höchsten davor."
    )


def test_german_rationale_to_avoid_an_asset() -> None:
    """For a holder, of hourly bars that are old, without a signal."""
    found = replace(
        assessment("crypto", "hour", "de"), action="avoid", holding="held", risk_score=10, signals=()
    )
    assert shown(found) == (
        "## Zusammenfassung\n\n"
        "Stand 20. Januar 2026, 23:00 Uhr UTC: AAPL verkaufen, weil der Kurs zu stark schwankt. Für einen "
        "vorsichtigen Kunden (Risikobereitschaft 50 von 100): verkaufen. Die Kursdaten sind alt: Die letzte "
        "Kurskerze endete 208 Tage vor dieser Empfehlung. Vor dem Handeln neuere Kursdaten beschaffen. Der "
        "Kurs schwankt stärker, als es für diesen Kunden gut ist: Die annualisierte Volatilität beträgt "
        "81,1 %, und die Grenze für diesen Kunden liegt bei 157,5 %. Zusammen haben die Signale und die "
        "Nachrichten eine Wertung von 0,40 auf einer Skala von -1 bis 1. Der Markt folgt einem Trend, darum "
        "zählen die Signale für einen Trend am meisten. Die Eindeutigkeit beträgt 0,70 von 1: Sie sagt, wie "
        "klar der Fall ist, nicht, wie wahrscheinlich ein Gewinn ist.\n\n"
        "## Gute Zeichen\n\nKein Signal zeigt nach oben.\n\n"
        "## Schlechte Zeichen\n\nKein Signal zeigt nach unten.\n\n"
        "## Risiko\n\n"
        "In einer gewöhnlichen Stunde bewegt sich der Kurs um 1,92 $, das sind 1,4 % des Schlusskurses. Die "
        "annualisierte Volatilität beträgt 81,1 %. In der schlechtesten Zeit lag der Schlusskurs 69,4 % "
        "unter dem höchsten davor."
    )


def test_german_notes_on_the_risk() -> None:
    """Of an option with a contract, of monthly bars, for a client who holds none."""
    found = replace(assessment("option", "month", "de"), action="sell", holding="none", risk_score=50)
    assert risk_notes(found)[0] == (
        "Für einen mäßig risikobereiten Kunden (Risikobereitschaft 50 von 100): warten, bis die Signale "
        "und die Nachrichten nicht mehr nach unten zeigen."
    )
    assert risk_notes(found)[-3:] == (
        "Lücken in den Kursdaten: 1; die längste reicht vom 10. Januar 2030 bis zum 15. Juli 2046.",
        "Die Kurskerze vom 12. Januar 2476 war noch nicht abgeschlossen und ist weggelassen.",
        "Eine Option kann wertlos verfallen; diese Signale kennen nur ihren Preis, nicht ihre Griechen und "
        "ihren Verfallstag.",
    )


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (
            "implied_volatility.vs.volatility_20",
            "die implizite Volatilität (30,0 %) liegt über der annualisierten Volatilität (3,0 %)",
        ),
        (
            "volatility_20.vs.implied_volatility",
            "die annualisierte Volatilität (3,0 %) liegt unter der impliziten Volatilität (30,0 %)",
        ),
        ("macd.vs.macd_signal", "der MACD (2,41 $) liegt über seiner Signallinie (2,28 $)"),
        ("macd_signal.vs.macd", "die Signallinie des MACD (2,28 $) liegt unter dem MACD (2,41 $)"),
        ("obv.vs.obv_mean_20", "das On-Balance-Volumen liegt unter seinem 20-Monats-Durchschnitt"),
        ("close.vs.high_20", "der Schlusskurs (136,36 $) liegt 0,77 % unter dem 20-Monats-Hoch (137,42 $)"),
        ("change_1.move", "der Kurs fiel über einen Monat um 0,23 %"),
        ("change_63", "63-Monats-Veränderung (+16,1 %)"),
        ("strike.is", "der Basispreis beträgt 1.234,50 $"),
        ("option_type.is", "die Art der Option ist Kaufoption"),
        ("expiry.is", "der Verfallstag ist der 4. August 2065"),
        ("regime.is", "der Markt folgt einem Trend"),
    ],
)
def test_german_statements(slot: str, text: str) -> None:
    """The name after above and below is in the dative, and a day has its article."""
    assert fact_table(assessment("option", "month", "de")).fill(f"{{{slot}}}") == text


def test_german_statements_of_facts_without_an_article() -> None:
    """The article of a caller's fact is not known, so its name has none."""
    texts = language("de")
    table = FactTable(
        [
            Fact("pe_ratio", 31.4, name="KGV", source="Bericht", scale="pe"),
            Fact("sector_pe", 25, name="Branchen-KGV", source="Bericht", scale="pe"),
            Fact(
                "growth",
                4.5,
                name="Wachstum",
                source="Bericht",
                unit="percent",
                change_of="Umsatz",
                period="1 Jahr",
            ),
        ],
        texts,
    )
    assert table.fill("{pe_ratio.is}; {pe_ratio.vs.sector_pe}; {growth.move}") == (
        "KGV beträgt 31,4; KGV (31,4) liegt über Branchen-KGV (25); Umsatz stieg über 1 Jahr um 4,5 %"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 11, 20), "20. November 2026"),
        (datetime(2026, 3, 1, 14, tzinfo=UTC), "1. März 2026, 14:00 Uhr UTC"),
        (datetime(2026, 11, 20, tzinfo=UTC), "20. November 2026"),
    ],
)
def test_german_days(value: date, text: str) -> None:
    """The day has a point, and the time of day is left out at midnight."""
    assert language("de").value(Fact("x", value, name="x", source="a test")) == text


NOTATION = {
    "price": (r"-?(.+) (?:\$|EUR)", r"-?\$?(.+?)(?: EUR)?"),
    "percent": (r"-?(.+) %", r"-?(.+) %"),
    "ratio": (r"-?(.+)", r"-?(.+)"),
    "count": (r"-?(.+)", r"-?(.+)"),
    "number": (r"-?(.+)", r"-?(.+)"),
}


@given(
    st.floats(-1e12, 1e12) | st.integers(-(10**12), 10**12) | st.floats(-2, 2),
    st.sampled_from(get_args(Unit)),
    st.sampled_from(["USD", "EUR"]),
)
def test_numbers_parse_back_to_the_value(value: float, unit: Unit, currency: str) -> None:
    """In each language: groups of three digits, the decimal mark, the sign, the unit."""
    fact = Fact("x", value, name="x", source="a test", unit=unit, currency=currency)
    marks: list[tuple[LanguageCode, str, str]] = [("de", ".", ","), ("en", ",", ".")]
    for (code, thousands, mark), form in zip(marks, NOTATION[unit], strict=True):
        text = language(code).value(fact)
        match = re.fullmatch(form, text)
        assert match
        whole, _, decimals = match[1].partition(mark)
        assert re.fullmatch(rf"\d{{1,3}}({re.escape(thousands)}\d{{3}})*", whole)
        sign = "-" if text.startswith("-") else ""
        number = Decimal(f"{sign}{whole.replace(thousands, '')}.{decimals or 0}")
        assert number == rounded_value(fact)
