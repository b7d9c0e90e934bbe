"""The effect of each environment variable."""

from __future__ import annotations

import logging
import re
from decimal import Decimal
from pathlib import Path

import pytest

from supernova_ai.config import Config, load
from supernova_ai.config.environment import NOT_SETTINGS, VARIABLES, unread

ROOT = Path(__file__).parents[2]
NAMES = {variable.name for variable in VARIABLES} | NOT_SETTINGS


def test_switches_set_their_settings() -> None:
    """LLM_ENABLED, LLM_STREAMING and LLM_FALLBACK_ENABLED take the usual spellings of booleans."""
    config = load(environ={"LLM_ENABLED": "off", "LLM_STREAMING": "YES", "LLM_FALLBACK_ENABLED": "0"}).config
    assert (config.enabled, config.streaming, config.routing.fallback) == (False, True, False)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama", "huggingface"])
def test_model_variables_set_the_tiers(provider: str) -> None:
    """CHAT sets the standard model, ANALYSIS the premium one, SUMMARY the economy one."""
    environ = {f"{provider.upper()}_{use}_MODEL": use.lower() for use in ("CHAT", "ANALYSIS", "SUMMARY")}
    models = dict(load(environ=environ).config.providers[provider].models)
    models.pop("embedding", None)
    assert models == {"standard": "chat", "premium": "analysis", "economy": "summary"}


def test_llm_provider_moves_to_the_front() -> None:
    """LLM_PROVIDER moves its provider to the front, also of the list in LLM_PROVIDER_PRIORITY."""
    assert load(environ={"LLM_PROVIDER": "ollama"}).config.routing.priority == (
        "ollama",
        "openai",
        "anthropic",
        "huggingface",
    )
    both = {"LLM_PROVIDER_PRIORITY": "openai, anthropic,", "LLM_PROVIDER": "anthropic"}
    assert load(environ=both).config.routing.priority == ("anthropic", "openai")


def test_cost_limits_change_the_budget_of_that_name_or_add_it() -> None:
    """The variables change only the limits of the budgets named daily and monthly, or add them."""
    budgets = [
        {"name": "daily", "limit": 1, "per": "day", "user": "*"},
        {"name": "weekly", "limit": 2, "per": "week"},
    ]
    path = Path("budgets.yaml")
    path.write_text(f"budgets: {budgets}")
    config = load(path, environ={"LLM_DAILY_COST_LIMIT": "3.5", "LLM_MONTHLY_COST_LIMIT": "70"}).config
    assert [(b.name, b.limit, b.per, b.user) for b in config.budgets] == [
        ("daily", Decimal("3.5"), "day", "*"),
        ("weekly", Decimal(2), "week", None),
        ("monthly", Decimal(70), "month", None),
    ]


@pytest.mark.parametrize("name", ["LLM_COST_TRACKING", "API_KEY_ENCRYPTION_ENABLED"])
def test_variables_that_must_be_true_may_be_true(name: str) -> None:
    """The two variables that must be true change nothing."""
    assert load(environ={name: "True"}).config == Config()


def test_a_misspelt_variable_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the misspelt variable and the nearest one; other names cause none."""
    with caplog.at_level(logging.WARNING, "supernova_ai"):
        load(environ={"LLM_STREAMNG": "true", "LLM_ZZZ": "1", "LLM_ENABLED": "true"})
    said = "LLM_STREAMNG is not read: did you mean LLM_STREAMING?"
    assert caplog.messages == [f"config.doubtful reason={said}"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SUPERNOVA_ENVIRONMENT", "SUPERNOVA_ENV"),
        ("SUPERNOVA_STREAMING", "LLM_STREAMING"),
        ("SUPERNOVA_CONFG", "SUPERNOVA_CONFIG"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("OPENIA_API_KEY", "OPENAI_API_KEY"),
        ("HUGGINGFACE_API_KEY", "HUGGINGFACE_API_TOKEN"),
        ("LLM_PROVIDERS_PRIORITY", "LLM_PROVIDER_PRIORITY"),
        *(
            (name, None)
            for name in ("OPENAI_BASE_URL", "OPENROUTER_API_KEY", "XAI_API_KEY", "OLLAMA_HOST", "PATH")
        ),
        *((name, None) for name in sorted(NAMES)),
    ],
)
def test_misspelt_names_have_a_nearest(name: str, nearest: str | None) -> None:
    """A misspelt name of ours has a nearest variable; the names of other tools have none."""
    assert unread([name], ("environment", "streaming")).get(name) == (nearest and f"did you mean {nearest}?")


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("SUPERNOVA_DATABASE", "database"),
        ("SUPERNOVA_ROUTING__RETRIES", "routing.retries"),
        ("SUPERNOVA_LOGS_KEEP_DAYS", "logs.keep_days"),
        ("LLM_ROUTING_STRATEGY", "routing.strategy"),
    ],
)
def test_a_setting_as_a_variable_is_told(name: str, setting: str) -> None:
    """Only listed variables set settings: another one with the name of a setting is not ignored silently."""
    (warning,) = load(environ={name: "x"}).warnings
    assert warning == f"{name} is not read: set {setting!r} in supernova.yaml"


def test_the_template_has_every_name_with_a_comment() -> None:
    """.env.template contains every variable once, each below a comment of one line."""
    lines = (ROOT / ".env.template").read_text(encoding="utf-8").splitlines()
    assignment = re.compile(r"(?:# )?([A-Z_]+)=")
    found = {match[1]: lines[i - 1] for i, line in enumerate(lines) if (match := assignment.match(line))}
    assert set(found) == NAMES
    assert [name for name, above in found.items() if not re.match(r"# \S+ \S", above)] == []


def test_the_template_copied_unchanged_changes_nothing(folder: Path) -> None:
    """A copy of .env.template as .env gives the built-in defaults."""
    text = (ROOT / ".env.template").read_text(encoding="utf-8")
    (folder / ".env").write_text(text)
    assert load().config == Config()
    assert load().sources == ("built-in defaults",)


def test_the_template_with_its_examples_uncommented_changes_nothing(folder: Path) -> None:
    """The values shown in .env.template are the defaults."""
    text = (ROOT / ".env.template").read_text(encoding="utf-8")
    (folder / ".env").write_text(re.sub(r"(?m)^# ([A-Z_]+=)", r"\1", text))
    assert load().config == Config()
    assert len(load().sources) > 20
