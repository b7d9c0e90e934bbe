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

from typing import Any, Literal

from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel
from typing_extensions import TypedDict, assert_type

from supernova_ai import (
    Advice, AlertEvent, Complexity, MasterKey, OptionContract, Quote, Reply, Supernova, Tier
)
from supernova_ai import aadvise, advise, analyze, chat, embed, feedback, rerank, stream
from supernova_ai import advise_many, backtest, save_chart
from supernova_ai import SupernovaSync, analyze_sync, chat_sync, feedback_sync, run_tools_sync, stream_sync
from supernova_ai import InvalidAnswer, ToolCall, ToolRun, run_tools


class Opinion(BaseModel):
    action: Literal["buy", "sell"]


class Stock(TypedDict):
    symbol: str


def last_close(symbol: str) -> float:
    return 1.0


async def news(topic: str = "rates") -> list[str]:
    return [topic]


DEFINED: dict[str, Any] = {"type": "function", "function": {"name": "quote", "parameters": {}}}


async def whole_calls(nova: Supernova, said: ChatCompletionMessage) -> tuple[ToolRun, ...]:
    reply = await chat(
        messages=[{"role": "user", "content": "Hi"}, said], system="Be brief.", top_p=0.5, stop="END", seed=7,
        presence_penalty=1, frequency_penalty=-1, logprobs=True, top_logprobs=2, reasoning_effort="low",
        thinking={"type": "enabled", "budget_tokens": 2000}, service_tier="flex", prompt_cache="1h",
        tools=[last_close, news, DEFINED], tool_choice="required", parallel_tool_calls=False,
        extra={"anthropic": {"top_k": 4}},
    )
    calls: tuple[ToolCall, ...] = reply.tool_calls
    print(*(call.parsed()["symbol"] for call in calls), reply.message["role"], reply.dropped, reply.reasoning)
    assert_type((await chat("Hi", response_model=Opinion)).parsed, Opinion)
    assert_type((await chat("Hi", response_model=Stock)).parsed, Stock)
    assert_type((await nova.chat(messages=[], response_model=Opinion)).parsed, Opinion)
    assert_type((await analyze("Up.", response_model=Opinion)).parsed, Opinion)
    assert_type((await nova.ask("p", {}, response_model=Opinion)).parsed, Opinion)
    ran = await run_tools("Hi", tools=[last_close], max_rounds=3, response_model=Opinion)
    assert_type(ran.parsed, Opinion)
    async with nova.stream("Hi", response_model=Opinion, tools=[news]) as tokens:
        async for _ in tokens:
            print(tokens.partial)
    assert_type(tokens.reply.parsed, Opinion)
    free = await chat("Hi", response_model={"type": "object"})
    print(free.parsed["anything"])
    await nova.quote(messages=[{"role": "user", "content": "Hi"}], response_model=Opinion, tools=[last_close])
    try:
        said_so = await nova.run_tools("Hi", tools=[last_close, news], max_cost="0.01", system="Be brief.")
        return said_so.tool_runs
    except InvalidAnswer as error:
        print(error.text, *(problem["msg"] for problem in error.problems))
        return error.tool_runs


async def on_token(token: str) -> None:
    print(token)


def on_alert(alert: AlertEvent) -> None:
    print(alert.budget)


async def from_the_module(tier: Tier, complexity: Complexity | None) -> Reply:
    await chat(
        message="What now?", user_id=1, session_id="s", team="fx", tags={"desk": "spot"}, task="chat",
        tier=tier, complexity=complexity, model=None, max_tokens=9, max_cost="0.01", timeout=5,
        temperature=0.5, on_interrupt="raise", cache=False, metadata={"screen": "desk"},
        attachments=[Path("chart.png"), b"%PDF"], streaming=True, on_token=print,
    )
    analysis = await analyze("Rates rose.", analysis_type="risk", quality="premium", on_token=on_token)
    await feedback(analysis.request_id, "down", comment="Too short.")
    found = await embed(["Rates rose."], dimensions=256, user_id=1, extra={"cohere": {"input_type": "x"}})
    ranking = await rerank("rates", ("Rates rose.",), top_n=1, max_cost="0.01", cache=False)
    print(sum(found.vectors[0]), ranking.results[0].score + found.cached)
    async with stream("What now?", max_cost=Decimal(1)) as tokens:
        async for token in tokens:
            print(token.upper())
    return tokens.reply


async def from_a_client(master: MasterKey, bars: list[dict[str, float]]) -> tuple[Quote, Advice]:
    async with Supernova("supernova.yaml", master=master, alert_sinks=[on_alert]) as nova:
        await nova.ask("daily-report", {"day": "Monday"}, user_id="ann")
        quote = await nova.quote("What now?", attachments=["chart.png"])
        await nova.feedback("6f1c", -0.5)
        advice = await aadvise(bars, symbol="AAPL", risk_score=75, client=nova)
    advised = advise(bars=bars, symbol="AAPL", asset_class="stock", greeks=None, news="Up.", explain=False)
    contract: OptionContract = {"strike": 200, "expiry": "2027-01-15", "type": "call", "underlying": "AAPL"}
    advise(bars, symbol="A", asset_class="option", option=contract, repair=None, day_first=True, decimal=",")
    action, confidence, details, rationale, risk_notes = advised
    print(action.upper(), confidence + 1, details.facts, rationale.upper(), *risk_notes)
    ranked = advise_many({"AAPL": bars, "KO": Path("ko.csv")}, max_cost="0.1", parallel=2, on_advice=print)
    print([row.advice.action.upper() for row in ranked.rows if row.advice], ranked.cost + 1)
    tested = backtest(bars, symbol="AAPL", costs=5, seed=1)
    print(tested.strategy.sharpe + tested.shifted.return_percentile, tested.to_dict()["trades"])
    save_chart(tested, "aapl.svg")
    return quote, advice


def price(symbol: str) -> float:
    return 1.0


class Verdict(BaseModel):
    score: int


def without_async(bars: list[dict[str, float]]) -> tuple[Reply, Quote, Advice]:
    chat_sync(message="What now?", user_id=1, max_cost="0.01", on_token=print)
    analyze_sync("Rates rose.", analysis_type="risk", quality="premium")
    for token in stream_sync("What now?", tier="economy"):
        print(token.upper())
    answer = run_tools_sync("What now?", tools=[price], max_rounds=3, response_model=Verdict)
    feedback_sync(answer.request_id, "up")
    structured = stream_sync("What now?", response_model=Verdict)
    print(answer.parsed.score + 1, list(structured), structured.partial, structured.reply.parsed.score + 1)
    with SupernovaSync("supernova.yaml", alert_sinks=[on_alert], watch=True) as nova:
        nova.warm_up()
        nova.reload()
        print(nova.analyze("Rates rose.", response_model=Verdict).parsed.score + 1)
        reply = nova.chat("What now?", session_id="s", streaming=True)
        print(reply.content.upper(), nova.ask("daily-report", {"day": "Monday"}).cost, nova.config.streaming)
        print(nova.forget("s", user_id=1) + 1, [probe.result.upper() for probe in nova.probe(pay=True)])
        with nova.stream("What now?", max_cost=Decimal(1)) as tokens:
            print("".join(tokens))
        return tokens.reply, nova.quote("What now?"), advise(bars, symbol="AAPL", client=nova)
"""

WRONG = """
from pydantic import BaseModel

from supernova_ai import Supernova, advise, aadvise, analyze, chat, embed, feedback, rerank, stream
from supernova_ai import advise_many, backtest
from supernova_ai import SupernovaSync, analyze_sync, chat_sync, feedback_sync, run_tools_sync, stream_sync
from supernova_ai import run_tools


class Verdict(BaseModel):
    action: str


async def whole_calls(nova: Supernova) -> None:
    await chat(messages="Hi")  # wrong
    await chat("Hi", tools=["price"])  # wrong
    await chat("Hi", tool_choise="auto")  # wrong
    await chat("Hi", reasoning_effort="max")  # wrong
    await chat("Hi", service_tier="fast")  # wrong
    await chat("Hi", prompt_cache="2h")  # wrong
    await chat("Hi", extra={"top_k": 4})  # wrong
    await chat("Hi", response_model="Verdict")  # wrong
    (await chat("Hi", response_model=Verdict)).parsed.size  # wrong
    (await run_tools("Hi", tools=[print], response_model=Verdict)).parsed.size  # wrong
    await run_tools("Hi", tools=[print], max_rounds="3")  # wrong
    await run_tools("Hi", tools=[print], streaming=True)  # wrong
    nova.stream("Hi", response_model=Verdict).parsed  # wrong
    (await nova.analyze("Up.", messages=[]))  # wrong


async def from_the_module() -> None:
    await chat("What now?", max_token=9)  # wrong
    await chat("What now?", max_tokens="9")  # wrong
    await chat("What now?", tier="gold")  # wrong
    await chat("What now?", on_token="print")  # wrong
    await chat(5)  # wrong
    await analyze("Rates rose.", analysis="risk")  # wrong
    stream("What now?", streaming=True)  # wrong
    (await chat("What now?")).text  # wrong
    await feedback("6f1c", "good")  # wrong
    await embed(["Rates rose."], dimension=256)  # wrong
    await embed([5])  # wrong
    await rerank("rates", ["Rates rose."], dimensions=256)  # wrong


async def from_a_client(nova: Supernova) -> None:
    await nova.chat("What now?", users_id=1)  # wrong
    await nova.analyze("Rates rose.", analysis_typ="risk")  # wrong
    nova.stream("What now?", on_token=print)  # wrong
    await nova.ask("daily-report", {}, attachments=[])  # wrong
    await nova.quote("What now?", streaming=False)  # wrong
    await nova.feedback("6f1c", 1, coment="Clear.")  # wrong
    await aadvise([], symbol="AAPL", risk=75)  # wrong
    advise([], symbol="AAPL", asset_class="shares")  # wrong
    advise([], symbol="AAPL", repair="fix")  # wrong
    advise([], symbol="AAPL", option={"strike": 200})  # wrong
    advise([])  # wrong
    advise_many({"AAPL": []}, weight={"AAPL": 1})  # wrong
    backtest([], symbol="AAPL", cost=5)  # wrong
    Supernova(alert_sink=[])  # wrong


def without_async(nova: SupernovaSync) -> None:
    chat_sync("What now?", max_token=9)  # wrong
    chat_sync("What now?", tier="gold")  # wrong
    chat_sync(5)  # wrong
    chat_sync("What now?").text  # wrong
    analyze_sync("Rates rose.", analysis="risk")  # wrong
    stream_sync("What now?", streaming=True)  # wrong
    nova.chat("What now?", users_id=1)  # wrong
    nova.analyze("Rates rose.", analysis_typ="risk")  # wrong
    nova.stream("What now?", on_token=print)  # wrong
    nova.ask("daily-report", {}, attachments=[])  # wrong
    nova.quote("What now?").price  # wrong
    nova.probe(paying=True)  # wrong
    nova.reload(5)  # wrong
    nova.feedback("6f1c", "good")  # wrong
    nova.chat("What now?", response_model=int).parsed.upper()  # wrong
    run_tools_sync("What now?", max_round=3)  # wrong
    stream_sync("What now?", response_model=int).reply.parsed.upper()  # wrong
    feedback_sync("6f1c", 1, coment="Clear.")  # wrong
    SupernovaSync(alert_sink=[])  # wrong
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


@pytest.mark.proof
def test_pyright_finds_each_mistake(programs: Path) -> None:
    """pyright finds every misspelt or mistyped option, and nothing in the programs that are right."""
    pytest.importorskip("pyright", reason="it comes with `uv run --group types pytest`")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run([*command, str(programs)], capture_output=True, text=True, cwd=ROOT)
    found = [one for one in json.loads(run.stdout)["generalDiagnostics"] if one["severity"] == "error"]
    lines = {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found}
    assert lines == MARKED, run.stdout + run.stderr
    assert any(one["message"] == 'No parameter named "max_token"' for one in found)
