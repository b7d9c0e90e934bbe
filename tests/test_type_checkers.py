"""mypy and pyright, which most editors use, accept a right program and find each mistake of a wrong one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

RIGHT = """
from decimal import Decimal
from pathlib import Path

from supernova_ai import Advice, AlertEvent, Complexity, MasterKey, Quote, Reply, Supernova, Tier
from supernova_ai import aadvise, advise, analyze, chat, stream


async def on_token(token: str) -> None:
    print(token)


def on_alert(alert: AlertEvent) -> None:
    print(alert.budget)


async def from_the_module(tier: Tier, complexity: Complexity | None) -> Reply:
    await chat(
        message="What now?", user_id=1, session_id="s", task="chat", tier=tier, complexity=complexity,
        model=None, max_tokens=9, max_cost="0.01", timeout=5, temperature=0.5, on_interrupt="raise",
        cache=False, metadata={"screen": "desk"}, attachments=[Path("chart.png"), b"%PDF"],
        streaming=True, on_token=print,
    )
    await analyze("Rates rose.", analysis_type="risk", quality="premium", on_token=on_token)
    async with stream("What now?", max_cost=Decimal(1)) as tokens:
        async for token in tokens:
            print(token.upper())
    return tokens.reply


async def from_a_client(master: MasterKey, bars: list[dict[str, float]]) -> tuple[Quote, Advice]:
    async with Supernova("supernova.yaml", master=master, alert_sinks=[on_alert]) as nova:
        await nova.ask("daily-report", {"day": "Monday"}, user_id="ann")
        quote = await nova.quote("What now?", attachments=["chart.png"])
        advice = await aadvise(bars, symbol="AAPL", risk_score=75, client=nova)
    advised = advise(bars=bars, symbol="AAPL", asset_class="stock", greeks=None, news="Up.", explain=False)
    action, confidence, details, rationale, risk_notes = advised
    print(action.upper(), confidence + 1, details.facts, rationale.upper(), *risk_notes)
    return quote, advice
"""

WRONG = """
from supernova_ai import Supernova, advise, aadvise, analyze, chat, stream


async def from_the_module() -> None:
    await chat("What now?", max_token=9)  # wrong
    await chat("What now?", max_tokens="9")  # wrong
    await chat("What now?", tier="gold")  # wrong
    await chat("What now?", on_token="print")  # wrong
    await chat(5)  # wrong
    await analyze("Rates rose.", analysis="risk")  # wrong
    stream("What now?", streaming=True)  # wrong
    (await chat("What now?")).text  # wrong


async def from_a_client(nova: Supernova) -> None:
    await nova.chat("What now?", users_id=1)  # wrong
    await nova.analyze("Rates rose.", analysis_typ="risk")  # wrong
    nova.stream("What now?", on_token=print)  # wrong
    await nova.ask("daily-report", {}, attachments=[])  # wrong
    await nova.quote("What now?", streaming=False)  # wrong
    await aadvise([], symbol="AAPL", risk=75)  # wrong
    advise([], symbol="AAPL", asset_class="shares")  # wrong
    advise([])  # wrong
    Supernova(alert_sink=[])  # wrong
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(from typing .*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "documented.py").write_text(block)
    return tmp_path


MARKED = {
    ("wrong.py", number) for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")
}


def test_mypy_finds_each_mistake(programs: Path) -> None:
    """mypy finds every misspelt or mistyped option, and nothing in the programs that are right."""
    command = [sys.executable, "-m", "mypy", *map(str, programs.iterdir())]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    found = re.findall(r"(\w+\.py):(\d+): error: ", run.stdout)
    assert {(name, int(line)) for name, line in found} == MARKED, run.stdout + run.stderr
    assert 'Unexpected keyword argument "max_token" for "chat"; did you mean "max_tokens"?' in run.stdout


def test_pyright_finds_each_mistake(programs: Path) -> None:
    """pyright finds every misspelt or mistyped option, and nothing in the programs that are right."""
    pytest.importorskip("pyright", reason="it comes with `uv run --group types pytest`")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run([*command, str(programs)], capture_output=True, text=True, cwd=ROOT)
    found = [one for one in json.loads(run.stdout)["generalDiagnostics"] if one["severity"] == "error"]
    lines = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found}
    assert lines == MARKED, run.stdout + run.stderr
    assert any(one["message"] == 'No parameter named "max_token"' for one in found)
