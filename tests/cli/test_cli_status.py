"""``supernova status``: one screen of 80 columns and 24 lines, exact as JSON, and it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import config as configuration
from supernova_ai import health
from supernova_ai.cli import options
from supernova_ai.cli import status as command
from supernova_ai.ledger import End, Ledger
from supernova_ai.money import to_nano
from supernova_ai.store import Store
from supernova_ai.types import Usage
from tests.cli.conftest import KEY, Supernova
from tests.holds import place_hold

BUDGETS: list[dict[str, Any]] = [
    {"name": "daily", "limit": "1", "per": "day"},
    {"name": "monthly", "limit": "20", "per": "month"},
]


@pytest.fixture(autouse=True)
def two_providers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure two providers with keys in the environment, and two budgets."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, KEY)
    file = folder / "config" / "supernova.yaml"
    file.parent.mkdir()
    file.write_text(f"routing: {{priority: [anthropic, openai]}}\nbudgets: {BUDGETS}\n")


@pytest.fixture
def full() -> Iterator[None]:
    """Attempts of six deployments: settled, failed, lost and held."""
    loaded = configuration.load()
    with Store(loaded.database) as store:
        ledger = Ledger(store, loaded.config.all_budgets)
        for provider in ("anthropic", "openai"):
            for tier in ("economy", "standard", "premium"):
                model = f"{provider}-{tier}"
                attempt = place_hold(
                    ledger, model, to_nano("0.10"), request=model, provider=provider, tier=tier, model=model
                )
                hold = ledger.write(attempt).result()
                end = End("settled", hold.amount, "exact", Usage(), ledger.now_ms(), 1910, 250)
                if model == "openai-premium":
                    failure = health.fingerprint(provider, "ProviderUnavailable", 503, "overloaded")
                    end = End(
                        "released", 0, None, Usage(), ledger.now_ms(), error=failure.error, failure=failure
                    )
                assert ledger.end(hold, end).result()
        ledger.write(place_hold(ledger, "held", to_nano("0.15"), user_id="ann")).result()
        yield
        ledger.close()


@pytest.mark.usefixtures("full")
def test_two_providers_and_two_budgets_fit_a_terminal(supernova: Supernova) -> None:
    """In 80 columns and 24 lines all is there, nothing is cut, and without a terminal there is no colour."""
    result = supernova("status")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "…" not in result.out
    assert "\x1b" not in result.out
    for shown in ("anthropic", "openai-premium", "ProviderUnavailable", "0.0%", "1.91 s"):
        assert shown in result.out
    for shown in (
        "█████▒░░░░ 65%  $0.50 of $1.00, $0.15 held",
        "$0.50 today, $0.50 this week, $0.50 this month",
        "Held",
        "$0.15 for ann at openai/gpt",
        "Alerts    none open",
        "no process leads",
        "note: no job has run yet → supernova run, or",
    ):
        assert shown in result.out


@pytest.mark.usefixtures("full")
def test_what_does_not_fit_is_counted(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 20 lines the worst deployments are shown, and the command that shows all."""
    monkeypatch.setattr(options.console, "_force_terminal", True)
    monkeypatch.setattr(options.console, "_height", 20)
    out = supernova("status").out
    assert len(out.splitlines()) < 20
    assert "openai-premium" in out
    assert "in a better state: supernova health --all" in out


def test_an_empty_ledger(supernova: Supernova) -> None:
    """Before the first attempt each line says that there is nothing."""
    with Store(configuration.load().database):
        pass
    out = supernova("status").out
    for shown in ("not asked yet", "$0.00 today", "nothing: no attempt is running", "none open", "0%"):
        assert shown in out


@pytest.mark.usefixtures("full")
def test_json_is_exact(supernova: Supernova) -> None:
    """JSON has the same content: amounts are strings in USD, times are ISO 8601 or milliseconds."""
    found = supernova("status", "--json").json
    assert list(found) == [
        "at", "environment", "providers", "minutes", "spent", "lost", "budgets", "held", "alerts", "leader",
        "next_job", "findings",
    ]  # fmt: skip
    anthropic, openai = found["providers"]
    assert (anthropic["provider"], anthropic["state"]) == ("anthropic", "healthy")
    assert [row["success_rate"] for row in openai["deployments"]] == [1.0, 0.0, 1.0]
    assert openai["deployments"][1]["last_error"] == "ProviderUnavailable"
    assert found["spent"] == {"day": "0.5", "week": "0.5", "month": "0.5"}
    daily = found["budgets"][0]
    assert (daily["budget"], daily["settled"], daily["held"], daily["lost"]) == ("daily", "0.5", "0.15", "0")
    assert found["held"]["count"] == 1
    assert found["held"]["largest"][0]["amount"] == "0.15"
    assert len(found["minutes"]) == 60
    assert found["findings"][0]["severity"] == "note"


def test_watch_reads_anew(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The last page has what happened meanwhile; a page comes every two seconds, and Ctrl-C exits with 0."""
    with Store(configuration.load().database):
        pass
    paces = []

    def three(every_s: int) -> Iterator[None]:
        paces.append(every_s)
        yield
        request.getfixturevalue("full")
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "ticks", three)
    result = supernova("status", "--watch")
    assert result.code == 0
    assert "openai-premium" in result.out
    assert paces == [2]
    assert supernova("status", "--watch", "--json").code == 2


def test_without_a_database(supernova: Supernova, folder: Path) -> None:
    """Nothing is made: the error says that there is no database yet."""
    result = supernova("status")
    assert (result.code, result.out) == (7, "")
    assert "there is no database at" in result.err
    assert not Path(configuration.load().database).exists()


def test_an_unreadable_database(supernova: Supernova) -> None:
    """A file that is no database is a clear error, without a traceback."""
    path = Path(configuration.load().database)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no database" * 1000)
    result = supernova("status")
    assert (result.code, result.out) == (7, "")
    assert "not a database" in result.err
    assert "Traceback" not in result.err
