"""The examples run as written, with and without a model."""

from __future__ import annotations

import asyncio
import csv
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from examples import endpoint, nightly
from supernova_ai import default_client
from supernova_ai.advisor import records
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider
from tests.advisor.sample_advice import CSV, GOOD, RISING_SHOWN

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def without_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_ENABLED", "false")


@pytest.fixture
def with_model(
    stub_provider: Callable[..., StubProvider], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> StubProvider:
    """Configure OpenAI's default models, with a stub as OpenAI."""
    stub = stub_provider(GOOD)
    models = "{economy: gpt-6-luna, standard: gpt-6.1-sol, premium: gpt-6-astra}"
    (tmp_path / "supernova.yaml").write_text(
        f'providers: {{openai: {{api_base: "{stub.url}/v1", models: {models}}}}}\n'
        "routing: {priority: [openai], retries: 0}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERNOVA_CONFIG", "supernova.yaml")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    return stub


@pytest.fixture
def _default_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(default_client, "_default", None)
    yield
    default_client.default().close()


@pytest.mark.usefixtures("without_model", "_default_client")
def test_the_notebook_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a model the notebook prints the advice, each signal and sentence, and that no model wrote."""
    runpy.run_path(str(EXAMPLES / "advise.py"))
    out = capsys.readouterr().out
    assert out.startswith("buy (confidence 0.70)\n\n## Summary\n\nAs of 20 November 2026: buy AAPL.")
    assert "momentum +0.71  the price rose by 16.1 % over 63 days" in out
    assert "generated NoProvider: LLM calls are switched off" in out


@pytest.mark.usefixtures("with_model", "_default_client")
def test_the_notebook_with_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """With a model the notebook prints the same advice in the model's words, and their cost."""
    runpy.run_path(str(EXAMPLES / "advise.py"))
    out = capsys.readouterr().out
    assert RISING_SHOWN in out
    assert "\nmodel \n$0.0" in out


@pytest.mark.usefixtures("with_model")
async def test_the_endpoint() -> None:
    """The endpoint answers with advice in the model's words, and says what is wrong with a bad request."""
    bars = list(csv.DictReader(CSV.open()))
    question = {"symbol": "AAPL", "bars": bars, "risk_score": 75, "sentiment_hint": 0.3}
    inside = httpx.ASGITransport(endpoint.app)
    async with (
        endpoint.lifespan(endpoint.app),
        httpx.AsyncClient(transport=inside, base_url="http://advice") as http,
    ):
        answer = await http.post("/advice", json=question)
        refused = await http.post("/advice", json=question | {"bars": bars[:5]})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["action"], found["source"]) == ("buy", "model")
    assert float(found["cost"]) > 0
    assert (refused.status_code, "too few" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(("mode", "symbols"), [("without_model", 50), ("with_model", 20)])
def test_the_nightly_batch(
    mode: str,
    symbols: int,
    request: pytest.FixtureRequest,
    supernova_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every symbol gets advice and a record, and the cost stays within the limit."""
    request.getfixturevalue(mode)
    monkeypatch.setattr(nightly, "LIMIT", Decimal("0.04"))
    monkeypatch.setattr(nightly, "SYMBOLS", nightly.SYMBOLS[:symbols])
    asyncio.run(nightly.main())
    out = capsys.readouterr().out
    assert f"{symbols}/{symbols}" in out
    assert ("generated" if mode == "without_model" else "model") in out
    cost = Decimal(out.split("Cost: $")[1].split()[0])
    assert cost <= nightly.LIMIT
    assert (cost > 0) == (mode == "with_model")
    with Store(supernova_home / "supernova.db") as store:
        assert store.read(records.verify).rows == symbols


@pytest.mark.proof
@pytest.mark.usefixtures("with_model")
def test_the_traces() -> None:
    """The example prints its own span, the request's and the attempt's, from the outside in."""
    command = [sys.executable, str(EXAMPLES / "traces.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.endswith(")")]
    names = ["morning note (internal)", "supernova chat (internal)", "chat gpt-6.1-sol (client)"]
    assert [line for line in shown if line in names] == names
    assert "  gen_ai.provider.name = openai\n" in done.stdout
