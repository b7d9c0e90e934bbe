"""Answers and scripts stored outside this project: each gives the expected result, or is listed in LATER."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import RateLimited, Reply, Supernova
from supernova_ai.litellm_adapter.setup import litellm
from supernova_ai.store.tables import AttemptRow
from supernova_ai.testing import Raw, StubProvider

CASES_DIR = "SUPERNOVA_CASES_DIR"

FOLDER = os.environ.get(CASES_DIR)
ANSWERS: dict[str, dict[str, Any]] = {}
if FOLDER:
    lines = (Path(FOLDER) / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    ANSWERS = {case["id"]: case for case in map(json.loads, lines)}

SCRIPTS = [
    "account-refusal-400-no-failover",
    "api-base-path-misleading",
    "context-window-wording-no-failover",
    "loopback-through-proxy",
    "memory-database",
    "openai-base-url-variable",
    "postgres-password-in-error",
    "redirect-sends-key-elsewhere",
    "refusal-lost",
    "terminal-escapes",
    "think-tags-of-ollama",
    "usage-without-total",
]
"""The scripts that must find nothing wrong."""

LATER: set[str] = set()
"""Answers that have no check here yet."""

QUOTE = {"type": "function", "function": {"name": "quote", "parameters": {"type": "object"}}}
"""The tool that the answers call."""

pytestmark = pytest.mark.skipif(not FOLDER, reason=f"{CASES_DIR} names no folder of cases")

Check = Callable[[Reply | Exception, AttemptRow], None]


def rate(model: str, name: str) -> Decimal:
    return Decimal(str(litellm.model_cost[model][name]))


def error_in_200(got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ == "ContentRefused"
    assert "invalid literal" not in str(got)
    assert (row.state, row.cost) == ("lost", row.held)


def error_in_stream(got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ == "StreamInterrupted"
    assert "tool call could not be read" in str(got)
    assert (row.state, row.basis) == ("settled", "estimated")


def cache_write(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert (got.usage.prompt, got.usage.cache_write, got.cost_basis) == (4020, 4012, "exact")
    prompt, written, said = (
        rate("gpt-6-luna", name)
        for name in ("input_cost_per_token", "cache_creation_input_token_cost", "output_cost_per_token")
    )
    assert written > prompt
    assert got.cost == 4012 * written + 8 * prompt + 8 * said


def written_and_read(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert got.usage.cached + got.usage.cache_write <= got.usage.prompt == 2168
    assert got.usage.cache_write == 2161


def above_the_bound(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert row.cost > row.held
    assert (got.usage.completion, got.cost_basis) == (1601, "exact")


def without_total(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert (got.usage.prompt, got.usage.completion, got.cost_basis) == (10, 2000, "exact")


def zero_completion(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert got.cost_basis == "estimated"
    assert got.usage.completion >= len(got.content.split())


def as_text(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert (got.content, got.usage.prompt, got.usage.completion) == ("Bonds are loans.", 12, 8)


def gateway_timeout(got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ in ("ProviderTimeout", "ProviderUnavailable")
    assert (row.state, row.cost) == ("lost", row.held)


def not_free(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Exception)
    assert row.state in ("settled", "lost")
    assert 0 < row.cost <= row.held


def priority(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    prompt, said = (rate("gpt-4o-mini", f"{name}_cost_per_token_priority") for name in ("input", "output"))
    assert (got.cost, got.cost_basis) == (12 * prompt + 8 * said, "exact")


def another_model(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    prompt, said = (rate("gpt-4o-2024-11-20", f"{name}_cost_per_token") for name in ("input", "output"))
    assert got.cost == 12 * prompt + 8 * said


def thought(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert (got.content, got.reasoning) == ("Paris.", "Hm, easy.")
    assert (got.usage.prompt, got.usage.completion, got.cost_basis) == (12, 8, "exact")


def filtered(got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ == "ContentRefused"
    assert (row.state, row.basis, row.prompt, row.completion) == ("settled", "exact", 12, 0)


def answered(content: str, *, basis: str = "exact") -> Check:
    def check(got: Reply | Exception, row: AttemptRow) -> None:
        assert isinstance(got, Reply)
        assert (got.content, got.finish_reason, got.cost_basis) == (content, "stop", basis)

    return check


def upstream_failed(got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ == "ProviderUnavailable"
    assert "the upstream went away" in str(got)
    assert (row.state, row.basis, row.prompt, row.completion) == ("settled", "exact", 12, 8)


def refused(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert (got.content, got.refusal, got.finish_reason) == (
        "",
        "I can not help with that.",
        "content_filter",
    )
    assert str(got) == got.refusal
    assert (row.state, row.basis, row.completion) == ("settled", "exact", 8)


def too_long(got: Reply | Exception, row: AttemptRow) -> None:
    failed_as("ContextTooLong", got, row)


def moderated(got: Reply | Exception, row: AttemptRow) -> None:
    failed_as("ContentRefused", got, row)


def account(got: Reply | Exception, row: AttemptRow) -> None:
    failed_as("AccountRefused", got, row)
    assert "fewer requests" not in str(got)


def limited(got: Reply | Exception, row: AttemptRow) -> None:
    failed_as("RateLimited", got, row)
    assert isinstance(got, RateLimited)
    assert got.retry_after == 1.5


def failed_as(kind: str, got: Reply | Exception, row: AttemptRow) -> None:
    assert type(got).__name__ == row.error == kind
    assert (row.state, row.cost) == ("released", 0)


def called(got: Reply | Exception, row: AttemptRow) -> None:
    assert isinstance(got, Reply)
    assert [(call.id, call.name, call.parsed()) for call in got.tool_calls] == [
        ("t1", "quote", {"symbol": "ABC"})
    ]
    assert (got.content, got.finish_reason) == ("", "tool_calls")
    assert (row.state, row.prompt, row.completion, got.cost_basis) == ("settled", 12, 8, "exact")


CHECKS: dict[str, Check] = {
    "tool-calls": called,
    "context-by-code": too_long,
    "context-xai": too_long,
    "moderation-403": moderated,
    "account-usage-limit-400": account,
    "quota-429": account,
    "retry-after-ms": limited,
    "error-in-200-word-code": error_in_200,
    "error-in-200-word-code-stream": error_in_stream,
    "cache-write-openai": cache_write,
    "cache-write-equals-read": written_and_read,
    "usage-above-bound": above_the_bound,
    "usage-without-total": without_total,
    "usage-zero-completion": zero_completion,
    "usage-as-text": as_text,
    "gateway-timeout-504": gateway_timeout,
    "reasoning-then-429": not_free,
    "priority-tier": priority,
    "answered-by-another-model": another_model,
    "think-plain": thought,
    "think-stream": thought,
    "think-ollama-stream": thought,
    "choice-without-message": filtered,
    "finish-details": answered("Bonds."),
    "stream-usage-done-no-finish": answered("Bonds."),
    "choice-finish-error": upstream_failed,
    "refusal": refused,
    "content-as-parts": answered("Bonds are loans."),
    "two-choices-stream": answered("Bonds are loans.", basis="estimated"),
}


@pytest.mark.parametrize("name", CHECKS)
async def test_answer(
    name: str,
    open_nova: Callable[..., Supernova],
    stub_provider: Callable[..., StubProvider],
    attempts: Callable[[], list[AttemptRow]],
    balance: Callable[[], tuple[int, int, int]],
) -> None:
    """One attempt is made, its hold ends, and caller and ledger get the result that the case expects."""
    case = ANSWERS[name]
    body = Raw(case["status"], case["content_type"], case["body"], case["headers"])
    stub = stub_provider(body)
    provider: dict[str, Any] = {"url": stub.url, "models": {"standard": case["model"]}, "keys": ["primary"]}
    if case["provider"] not in ("openai", "huggingface", "ollama", "anthropic"):
        provider["url"] += "/v1"
    if case["model"] in ("m", "org/model") or case["provider"] in ("openrouter", "xai"):
        provider["prices"] = {case["model"]: {"input": "2.5", "cached_input": "1.25", "output": "10"}}
    nova = open_nova({case["provider"]: provider})
    got: Reply | Exception
    try:
        got = await nova.chat(
            "What now?",
            streaming=case["stream"],
            max_tokens=case["expect"].get("max_tokens", 1024),
            on_interrupt="raise",
            tools=[QUOTE] if "tool_calls" in case["expect"] else None,
        )
    except Exception as error:
        got = error
    assert len(attempts()) == 1, got
    (row,) = attempts()
    CHECKS[name](got, row)
    _, held, _ = balance()
    assert held == 0
    assert len(stub.chats) == 1


def test_every_answer_is_checked_or_listed() -> None:
    """Each case has a check here, or is listed in LATER."""
    assert ANSWERS.keys() <= CHECKS.keys() | LATER
    assert not CHECKS.keys() & LATER


@pytest.mark.proof
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str) -> None:
    """The script finds nothing wrong."""
    assert FOLDER is not None
    done = subprocess.run(
        [sys.executable, Path(FOLDER) / "scripts" / f"{script}.py"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
