"""The environment variables and ``.env``: which setting each variable sets, and which are left to others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from supernova_ai.config.nodes import Loc, Node, find, merge
from supernova_ai.config.problems import problem
from supernova_ai.errors import ConfigError
from supernova_ai.log import get_logger

log = get_logger(__name__)

Apply = Callable[[Node, Loc, Node], Node]


def read_environ(folder: Path = Path()) -> dict[str, str]:
    """Return ``os.environ``, which is left as it is, laid over the ``.env`` of the folder.

    Raises:
        ConfigError: ``.env`` cannot be read.
    """
    file = folder / ".env"
    try:
        written = dotenv_values(file, interpolate=False)  # a `$` in a key or password is only a `$`
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. It must be a readable UTF-8 file.") from error
    return present(written) | present(os.environ)


def present(environ: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables that are set; an empty one counts as unset."""
    return {name: value.strip() for name, value in environ.items() if value and value.strip()}


def _put(tree: Node, at: Loc, given: Node) -> Node:
    for step in reversed(at):
        given = Node({step: given}, given.place)
    return merge(tree, given)


def _put_list(tree: Node, at: Loc, given: Node) -> Node:
    items = [Node(item.strip(), given.place) for item in given.value.split(",") if item.strip()]
    return _put(tree, at, Node(items, given.place))


def _put_first(tree: Node, at: Loc, given: Node) -> Node:
    rest = [item for item in _list(tree, at) if item.value != given.value]
    return _put(tree, at, Node([given, *rest], given.place))


def _put_limit(name: str, per: str) -> Apply:
    def apply(tree: Node, at: Loc, given: Node) -> Node:
        budgets = list(_list(tree, at))
        limit = Node({"limit": given}, given.place)
        for i, budget in enumerate(budgets):
            if (found := find(budget, ("name",))) and found.value == name:
                budgets[i] = merge(budget, limit)
                break
        else:
            budgets.append(
                merge(Node({"name": Node(name, given.place), "per": Node(per, given.place)}, ""), limit)
            )
        return _put(tree, at, Node(budgets, given.place))

    return apply


def _must_be_true(reason: str) -> Apply:
    def apply(tree: Node, _: Loc, given: Node) -> Node:
        if given.value.lower() not in ("true", "yes", "on", "1"):
            raise ValueError(f"must be true, or unset: {reason}")
        return tree

    return apply


def _list(tree: Node, at: Loc) -> list[Node]:
    node = find(tree, at)
    return node.value if node and isinstance(node.value, list) else []


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """An environment variable, the setting it sets, and how."""

    name: str
    sets: Loc
    apply: Apply = _put


VARIABLES: tuple[EnvironmentVariable, ...] = (
    EnvironmentVariable("SUPERNOVA_ENV", ("environment",)),
    EnvironmentVariable("LLM_ENABLED", ("enabled",)),
    EnvironmentVariable("LLM_STREAMING", ("streaming",)),
    EnvironmentVariable("LLM_FALLBACK_ENABLED", ("routing", "fallback")),
    EnvironmentVariable("LLM_PROVIDER_PRIORITY", ("routing", "priority"), _put_list),
    EnvironmentVariable(
        "LLM_PROVIDER", ("routing", "priority"), _put_first
    ),  # after the list, which it reorders
    EnvironmentVariable("LLM_DAILY_COST_LIMIT", ("budgets",), _put_limit("daily", "day")),
    EnvironmentVariable("LLM_MONTHLY_COST_LIMIT", ("budgets",), _put_limit("monthly", "month")),
    EnvironmentVariable(
        "LLM_COST_TRACKING", (), _must_be_true("no budget can be kept without the ledger, so it is always on")
    ),
    EnvironmentVariable("API_KEY_ENCRYPTION_ENABLED", (), _must_be_true("keys are never stored in clear")),
    EnvironmentVariable("SECURE_HEADERS_ENABLED", ("require_tls",)),
    EnvironmentVariable("OLLAMA_BASE_URL", ("providers", "ollama", "api_base")),
    *(
        EnvironmentVariable(f"{provider.upper()}_{use}_MODEL", ("providers", provider, "models", tier))
        for provider in ("openai", "anthropic", "ollama", "huggingface")
        for use, tier in (("CHAT", "standard"), ("ANALYSIS", "premium"), ("SUMMARY", "economy"))
    ),
)
"""Every variable that sets something, in the order they are applied."""

OTHERS: frozenset[str] = frozenset(
    {
        "SUPERNOVA_CONFIG",
        "SUPERNOVA_HOME",
        "SUPERNOVA_MASTER_KEY_FILE",
        "API_KEY_ENCRYPTION_KEY",
        *(
            key + suffix
            for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HUGGINGFACE_API_TOKEN")
            for suffix in ("", "_BACKUP")
        ),
    }
)
"""Variables that are no settings: places, and secrets, which are left to the key floor."""


def apply(tree: Node, variables: Mapping[str, Node]) -> tuple[Node, list[str]]:
    """Lay the variables over ``tree``; return the result and what is wrong with them."""
    problems: list[str] = []
    for variable in VARIABLES:
        if given := variables.get(variable.name):
            try:
                tree = variable.apply(tree, variable.sets, given)
            except ValueError as error:
                problems.append(problem(given.place, variable.name, given.value, str(error)))
    return tree, problems


_OURS = ("SUPERNOVA", "LLM", "API", "SECURE", "OPENAI", "ANTHROPIC", "HUGGINGFACE", "OLLAMA")
"""The first words of our variables."""

_OF_OTHERS = frozenset(
    {
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "OLLAMA_HOST",
        "OLLAMA_MODELS",
        "OPENAI_API_BASE",
        "OPENAI_API_TYPE",
        "OPENAI_API_VERSION",
        "OPENAI_BASE_URL",
        "OPENAI_ORGANIZATION",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
    }
)
"""Variables of the providers' own tools, which look like ours."""


def misspelt(names: Iterable[str]) -> dict[str, str]:
    """Return each name that is nearly one of our variables, with that one."""
    known = sorted({variable.name for variable in VARIABLES} | OTHERS)
    found = {}
    for name in names:
        if (
            name in known
            or name in _OF_OTHERS
            or not get_close_matches(name.partition("_")[0], _OURS, 1, 0.8)
        ):
            continue
        if near := get_close_matches(name, known, 1, 0.75):
            found[name] = near[0]
    return found


def warn_of_misspelt(names: Iterable[str]) -> None:
    """Log a warning for each name that is nearly one of ours."""
    for name, near in misspelt(names).items():
        log.warning("config.variable.unknown", variable=name, nearest=near)
