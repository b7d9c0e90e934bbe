"""Labelled texts in free prose, converted mechanically to sentences with slots.

A name of a fact with its own figure beside it becomes a slot, and a name alone a slot of the name. Every
other figure stays, so its sentence cannot be shown. A right sentence in which a figure, a name, a time or an
action is left cannot be converted, and is not counted; nor are summaries, which no model writes. Of a wrong
text only the altered sentence counts.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.sentences import Said
from supernova_ai.advisor.bars import read_bars
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.facts import rounded_value
from supernova_ai.advisor.slots import FactTable
from supernova_ai.config.advice import AssetClass


class Scenario(NamedTuple):
    """A series, the index of the bar after its last, and the arguments of its advice."""

    file: str
    end: int
    symbol: str
    asset_class: AssetClass
    risk_score: int


SCENARIOS = {
    "A": Scenario("goog-daily", 540, "GOOG", "stock", 50),
    "D": Scenario("ko-daily", 260, "KO", "stock", 50),
    "F": Scenario("eurusd-hourly", 343, "EUR/USD", "fx", 50),
    "G": Scenario("btcusd-monthly", 76, "BTC/USD", "crypto", 20),
}

_BAR = r"[- ](?:bar|day|session)s?"
NAMES = {
    **{f"sma_{n}": rf"(?:SMA ?\(?{n}\)?|{n}{_BAR} (?:moving )?average)" for n in (20, 50, 200)},
    **{f"ema_{n}": rf"(?:EMA ?\({n}\)|{n}{_BAR} EMA)" for n in (12, 26)},
    "rsi_14": r"(?:14-day RSI|RSI(?: \(14\))?)",
    "adx_14": r"ADX(?: \(14\))?",
    "plus_di_14": r"\+DI(?: \(14\))?",
    "minus_di_14": r"-DI(?: \(14\))?",
    "macd_histogram": r"MACD histogram",
    "macd_signal": r"(?:MACD )?signal line",
    "macd": r"MACD(?: line)?",
    "bollinger_upper": r"upper (?:Bollinger )?band",
    "bollinger_lower": r"lower (?:Bollinger )?band",
    "bollinger_b": r"Bollinger %b",
    "high_20": rf"20{_BAR} high",
    "low_20": rf"20{_BAR} low",
    "obv_mean_20": rf"20{_BAR} mean",
    "obv": r"on-balance volume",
    "volatility_20": r"(?:annualised )?volatility(?:, annualised)?",
    "max_drawdown": r"deepest drawdown",
    "drawdown": r"drawdown(?: from the highest close)?",
    "close": r"(?<!highest )(?:last )?close\b(?! to)",
    "atr_14": r"(?:ATR(?: \(14\))?|average true range)",
}
_FIGURE = r"(?:\(|, at | of | at |: | is (?:only )?|, )\(?-?\$?(\d[\d,]*(?:\.\d+)?)(?: ?%| million)?\)?"


_LEFT = re.compile(
    r"\d|\(|price target|\b(?:year|month|one|two|three|ten|times|previous)\b"
    r"|would|should|buy|sell|investors|client|leveraged",
    re.IGNORECASE,
)
"""What has no place in a sentence with slots: figures, times and actions."""


def labelled_sentences(folder: Path) -> Iterator[tuple[Assessment, Said]]:
    """Yield the sentences of the texts that can be converted, with the advice that they are about."""
    lines = (folder / "grounding" / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    for text in map(json.loads, lines):
        found = _advice(folder, text["scenario"])
        table = FactTable(found.facts)
        wrong = text["label"] == "wrong"
        for sentence in _sentences(text["text"], found.symbol, summary=wrong):
            if wrong:
                if _altered(text, sentence):
                    yield found, Said(text["kind"], convert(sentence, table), False)
            elif "{" in (slotted := convert(sentence, table)) and not _LEFT.search(
                re.sub(r"\{.*?\}", "", slotted)
            ):
                yield found, Said(f"right, {text['kind']}", slotted, True)


def convert(sentence: str, table: FactTable) -> str:
    """Return the sentence with slots for the names, and for their figures if these are their own."""
    for id_, name in NAMES.items():
        if id_ in table:
            named = re.compile(rf"(?<![{{\w.]){name}(?:{_FIGURE})?(?![\w}}])", re.IGNORECASE)
            sentence = named.sub(partial(_slot, id_=id_, table=table), sentence)
    return sentence


def _slot(match: re.Match[str], *, id_: str, table: FactTable) -> str:
    figure = match[1]
    if figure is None:
        return f"{{{id_}.name}}"
    value = abs(table.number(id_) or 0.0)
    digits = len(figure.partition(".")[2])
    own = {f"{value:,.{digits}f}", f"{abs(rounded_value(table[id_])):,}"}
    return (
        f"{{{id_}}}" if figure in own else f"{{{id_}.name}}{match[0][match.start(1) - match.start() - 1 :]}"
    )


def _sentences(text: str, symbol: str, *, summary: bool) -> Iterator[str]:
    in_summary = False
    for line in filter(str.strip, text.splitlines()):
        if re.match(r"\s*(?:#|\*\*[\w ]+:?\*\*$|[\w ]+:$)", line):
            in_summary = "summary" in line.lower()
        elif not line.startswith("|") and (summary or not in_summary):
            plain = re.sub(r"^(?:[-*] |\d+\. )|\*\*", "", line).replace(symbol, "{symbol}")
            yield from (each.rstrip(";") for each in re.split(r"(?<=[.;])\s+", plain))


def _altered(text: dict[str, Any], sentence: str) -> bool:
    """Whether the sentence has the altered words, as they are in no sentence of the right text."""
    added = text["new"].replace(text["old"], "").strip() or text["new"]
    return any(
        part.strip()[:30] in sentence for part in re.split(r"(?<=[.;])\s+|\*\*", added) if len(part) > 3
    )


@cache
def _advice(folder: Path, name: str) -> Assessment:
    scenario = SCENARIOS[name]
    with (folder / "bars" / f"{scenario.file}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {
        "time": next(iter(rows[0])),
        **{name.lower(): name for name in ("Open", "High", "Low", "Close", "Volume")},
    }
    kept = rows[max(0, scenario.end - 250) : scenario.end]
    bars = read_bars([{name: row[column] for name, column in names.items()} for row in kept])
    return assess(
        bars, symbol=scenario.symbol, asset_class=scenario.asset_class, risk_score=scenario.risk_score
    )
