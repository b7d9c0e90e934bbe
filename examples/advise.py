"""Give advice on one asset, as in a notebook: each part below is a cell.

Run: uv run python examples/advise.py

It needs no API key. Without one, the explanation is written without a model; everything else is the same.
"""

# %% The bars: a list of dicts, as from any market data source. These are synthetic.
import csv
from pathlib import Path

from supernova_ai import advise

with Path(__file__).with_name("bars.csv").open(encoding="utf-8") as file:
    market_data = list(csv.DictReader(file))

# %% The advice. This also works in a running event loop and from any thread.
action, confidence, details, rationale, risk_notes = advise(
    bars=market_data, risk_score=75, sentiment_hint=0.3, symbol="AAPL", asset_class="stock"
)
print(f"{action} (confidence {confidence:.2f})\n\n{rationale}\n")
print(*(f"- {note}" for note in risk_notes), sep="\n")

# %% The reasons: every signal, and every sentence of the text with its facts and its source.
for signal in details["signals"]:
    print(f"{signal.name:>14} {signal.value:+.2f}  {signal.reason}")
for sentence in details["sentences"]:
    print(f"{sentence.source}: {sentence.text} ({', '.join(sentence.facts)})")

# %% The source of the text, its cost, and the record of the advice.
print(f"\n{details['source']} {details['why']}\n${details['cost']}, record {details['record_id']}")
