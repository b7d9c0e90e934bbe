"""``supernova health``: readable in 80 columns, exact as JSON, and redrawn with --watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import Database

from supernova_ai import config as configuration
from supernova_ai.cli import health as command
from supernova_ai.cli import options
from supernova_ai.health import CircuitState, DeploymentIdentity, fingerprint, record
from supernova_ai.ledger import End
from supernova_ai.store import Store
from supernova_ai.testing import Failure, StubProvider
from supernova_ai.types import Probe, Usage
from tests.cli.conftest import KEY, Supernova
from tests.holds import end_hold, entry, insert_hold

Attempt = Callable[..., None]
Configure = Callable[..., Path]
Stub = Callable[..., StubProvider]


@pytest.fixture
def attempt(folder: Any) -> Attempt:
    """Put an attempt that ended some seconds ago into the configured ledger; with a message it failed."""

    def put(words: str | None = None, ago_s: int = 130, **given: Any) -> None:
        now_ms = int(time.time() * 1000) - ago_s * 1000
        failure = fingerprint("openai", "ProviderUnavailable", 503, words) if words else None
        end = (
            End("released", 0, None, Usage(), now_ms, error=failure.error, failure=failure)
            if failure
            else End("settled", 0, "exact", Usage(), now_ms, 1910, 250)
        )

        def operation(database: Database) -> None:
            name = f"attempt-{time.monotonic_ns()}"
            hold = insert_hold(database, entry(name, 0, now_ms, **given), now_ms=now_ms)
            end_hold(database, hold, end)

        write(operation)

    return put


def write(operation: Callable[[Database], object]) -> None:
    with Store(configuration.load().database) as store:
        store.write(operation).result()


def opened(seconds: int) -> None:
    """Open the circuit breaker of a deployment that was never asked."""
    now_ms = int(time.time() * 1000)
    state = CircuitState(
        DeploymentIdentity("premium", "huggingface", "meta-llama/llama-3.1-8b-instruct", "primary"), "open",
        now_ms, now_ms + seconds * 1000, 3, "ProviderTimeout",
    )  # fmt: skip
    write(lambda database: record(database, state))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("errors",), "no failures in the last 24 hours\n"),
        (("uptime",), "no attempts in the last 7 days\n"),
    ],
)
def test_empty_ledger(arguments: tuple[str, ...], said: str, supernova: Supernova) -> None:
    """Before the first attempt a sentence says that there is nothing to show; the JSON is an empty list."""
    result = supernova("health", *arguments)
    assert (result.code, result.out) == (0, said)
    assert supernova("health", *arguments, "--json").json == []


def test_before_the_first_attempt(supernova: Supernova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without attempts the command says so, names providers without a key, and the command that adds one."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert supernova("health").out.splitlines() == [
        "no attempts in the last hour",
        "no key: anthropic, huggingface",
        "add one: supernova keys add anthropic",
    ]
    assert supernova("health", "--json").json == []
    assert supernova("health", "--hours", "2").out.startswith("no attempts in the last 2 hours\n")


def test_a_deployment_without_a_key_is_not_called_healthy(
    supernova: Supernova, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state is "no key", although its circuit breaker is closed."""
    attempt()
    assert "no key" in supernova("health").out.partition("no key: ")[0]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    table = supernova("health").out.partition("no key: ")[0]
    assert "healthy" in table
    assert "no key" not in table


def test_the_worst_deployments_come_first_and_fit_the_screen(
    supernova: Supernova, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal of 11 lines the two worst deployments are shown, and the others are counted."""
    attempt()
    attempt(provider="anthropic", model="claude")
    attempt("overloaded", provider="anthropic", model="claude")
    opened(3000)
    monkeypatch.setattr(options.console, "_force_terminal", True)
    monkeypatch.setattr(options.console, "_height", 11)
    out = supernova("health").out
    assert out.index("cooling down") < out.index("claude")
    assert "gpt" not in out
    assert "and 1 in a better state; see them with --all" in out
    assert "gpt" in supernova("health", "--all").out


def test_the_table_fits_80_columns_uncut(
    supernova: Supernova, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 80 columns every line fits, and states, times and errors are complete."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    attempt()
    attempt("overloaded", ago_s=7300)
    opened(3000)
    out = supernova("health").out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    for whole in ("openai", "primary", "gpt", "healthy", "2 h ago", "100.0%"):
        assert whole in out
    for whole in ("huggingface", "ProviderUnavailable", "1.91 s", "cooling down", "min more"):
        assert whole in out


def test_json_is_exact(supernova: Supernova, attempt: Attempt) -> None:
    """Times are in milliseconds, rates are numbers, and errors are counted by class."""
    attempt()
    attempt("overloaded")
    (found,) = supernova("health", "--json").json
    assert found["deployment"] == "standard/openai/gpt/primary"
    assert (found["attempts"], found["answered"], found["success_rate"]) == (2, 1, 0.5)
    assert found["errors"] == {"ProviderUnavailable": 1}
    assert found["latency"] == {"p50": 1910, "p95": 1910, "p99": 1910}
    assert found["first_token"]["p99"] == 250
    assert (found["state"], found["until_ms"], found["last_error"]) == ("closed", None, "ProviderUnavailable")


def test_hours(supernova: Supernova, attempt: Attempt) -> None:
    """More hours include older attempts."""
    attempt("overloaded", ago_s=7300)
    for arguments in (["health", "--json"], ["health", "errors", "--json"]):
        assert supernova(*arguments, "--hours", "2").json == []
        assert len(supernova(*arguments, "--hours", "3").json) == 1


def test_watch_redraws_until_interrupted(
    supernova: Supernova, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last table has what happened meanwhile, and Ctrl-C exits with 0."""

    def ticks() -> Iterator[None]:
        yield
        attempt()
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "ticks", ticks)
    result = supernova("health", "--watch")
    assert result.code == 0
    assert "openai" in result.out


def test_ticks_come_at_once_and_then_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first tick does not wait."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    ticks = command.ticks()
    next(ticks)
    assert slept == []
    next(ticks)
    next(ticks)
    assert slept == [1, 1]


def test_errors_are_shown_by_their_patterns(supernova: Supernova, attempt: Attempt) -> None:
    """Equal failures are one line, with their message unchanged, even if it looks like markup."""
    attempt("[/bold] overloaded, retry in 20ms")
    attempt("[/bold] overloaded, retry in 6m0s")
    attempt("maintenance")
    result = supernova("health", "errors")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "[/bold]" in result.out
    assert result.out.count("ProviderUnavailable: The provider could not be reached") == 1
    first, second = supernova("health", "errors", "--json").json
    assert first["meaning"].startswith("The provider could not be reached")
    assert (first["message"], first["count"]) == ("[/bold] overloaded, retry in <*>", 2)
    assert (second["message"], second["status"], second["seen"]) == ("maintenance", 503, 1)


def test_uptime_by_provider(supernova: Supernova, attempt: Attempt) -> None:
    """Uptime is the share of attempts that a provider did not fail, in the table and as JSON."""
    attempt(ago_s=0)
    attempt("overloaded", ago_s=0)
    attempt(ago_s=0, provider="ollama", key_slot=None)
    for per in ("day", "hour"):
        out = supernova("health", "uptime", "--per", per).out
        assert "50.00%" in out
        assert "100.00%" in out
    found = supernova("health", "uptime", "--days", "2", "--json").json
    assert {(row["provider"], row["failed"]) for row in found} == {("openai", 1), ("ollama", 0)}
    assert sum(row["attempts"] for row in found) == 3


def test_check_probes_with_each_key(
    supernova: Supernova, configure: Configure, stub_provider: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check uses free probes and stores the result; a refused key is reported with exit code 1."""
    stub = stub_provider()
    configure(stub.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (found,) = supernova("health", "check", "--json").json
    assert (found["provider"], found["key_slot"], found["result"]) == ("openai", "primary", "ok")
    assert [request.headers["authorization"] for request in stub.requests] == [f"Bearer {KEY}"]
    assert stub.chats == []
    stub.probe = Failure(401)
    refused = supernova("health", "check")
    assert (refused.code, "AuthenticationFailed" in refused.out) == (1, True)
    kept = supernova("health", "--json").json
    assert {(row["probe"], row["state"]) for row in kept} == {("AuthenticationFailed", "open")}


def test_check_pays_only_with_the_option_and_within_its_budget(
    supernova: Supernova, configure: Configure, stub_provider: Stub
) -> None:
    """Without a free probe a provider is asked only with --pay, for one token and within the budget."""
    stub = stub_provider("Yes.", "Yes.")
    prices = {"mistral-small": {"input": "1", "output": "1"}}
    mistral = {
        "api_base": f"{stub.url}/v1",
        "models": {"standard": "mistral-small"},
        "keys": [],
        "prices": prices,
    }
    given = {"providers": {"mistral": mistral}, "routing": {"priority": ["mistral"]}}
    configure(stub.url, **given)
    assert (supernova("health", "check", "--json").code, stub.requests) == (1, [])
    (found,) = supernova("health", "check", "--pay", "--json").json
    assert (found["provider"], found["result"]) == ("mistral", "ok")
    assert [request.body["max_tokens"] for request in stub.chats] == [1]
    spent = supernova("costs", "--json").json["budgets"][-1]
    assert (spent["budget"], spent["settled"] != "0") == ("probe", True)
    configure(stub.url, health={"paid_limit": "0.0000001"}, **given)
    refused = supernova("health", "check", "--pay")
    assert (refused.code, "BudgetExceeded" in refused.out, len(stub.chats)) == (1, True, 1)


@pytest.mark.parametrize(("results", "code"), [(["ok", "Timeout"], 0), (["Timeout"], 1), ([], 1)])
def test_check_fails_if_no_provider_is_healthy(
    supernova: Supernova, monkeypatch: pytest.MonkeyPatch, results: list[str], code: int
) -> None:
    """The check exits with 1 if no provider is healthy, and shows all of them in any case."""

    async def found(*_: object) -> list[Probe]:
        return [Probe("openai", "primary", result, 0.1) for result in results]

    monkeypatch.setattr(command, "_probe", found)
    result = supernova("health", "check")
    assert result.code == code
    assert all(word in result.out for word in results)
    assert supernova("health", "check", "--json").code == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--watch", "--json"), "--watch draws a table"),
        (("--hours", "2", "errors"), "write --hours after 'errors'"),
        (("--hours", "0"), "0 is less than the minimum, 1"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], said: str, supernova: Supernova) -> None:
    """Options that do not fit together exit with 2 and a remedy."""
    result = supernova("health", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in " ".join(result.err.replace("│", "").split())
