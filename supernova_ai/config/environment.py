"""The environment variables and ``.env``: the setting of each variable, and names that are not read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from supernova_ai.config.nodes import Loc, Node, find, merge
from supernova_ai.config.problems import problem
from supernova_ai.errors import ConfigError
from supernova_ai.paths import reason_of

Apply = Callable[[Node, Loc, Node], Node]


def read_environ(folder: Path = Path()) -> dict[str, str]:
    """Return the variables of ``os.environ`` and of the folder's ``.env``; ``os.environ`` wins.

    Raises:
        ConfigError: ``.env`` cannot be read.
    """
    file = folder / ".env"
    try:
        from_file = dotenv_values(file, interpolate=False)  # a `$` in a key or password is literal
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {reason_of(error)}. It must be a readable UTF-8 file."
        ) from error
    return non_empty(from_file) | non_empty(os.environ)


def non_empty(environ: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables that are set; an empty one counts as unset."""
    return {name: value.strip() for name, value in environ.items() if value and value.strip()}


def _set(tree: Node, at: Loc, given: Node) -> Node:
    for step in reversed(at):
        given = Node({step: given}, given.origin)
    return merge(tree, given)


def _set_list(tree: Node, at: Loc, given: Node) -> Node:
    items = [Node(item.strip(), given.origin) for item in given.value.split(",") if item.strip()]
    return _set(tree, at, Node(items, given.origin))


def _set_first(tree: Node, at: Loc, given: Node) -> Node:
    rest = [item for item in _list(tree, at) if item.value != given.value]
    return _set(tree, at, Node([given, *rest], given.origin))


def _set_limit(name: str, per: str) -> Apply:
    def apply(tree: Node, at: Loc, given: Node) -> Node:
        budgets = list(_list(tree, at))
        limit = Node({"limit": given}, given.origin)
        for i, budget in enumerate(budgets):
            if (found := find(budget, ("name",))) and found.value == name:
                budgets[i] = merge(budget, limit)
                break
        else:
            budgets.append(
                merge(Node({"name": Node(name, given.origin), "per": Node(per, given.origin)}, ""), limit)
            )
        return _set(tree, at, Node(budgets, given.origin))

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
    """An environment variable, the setting it sets, and the function that sets it."""

    name: str
    sets: Loc
    apply: Apply = _set


VARIABLES: tuple[EnvironmentVariable, ...] = (
    EnvironmentVariable("SUPERNOVA_ENV", ("environment",)),
    EnvironmentVariable("LLM_ENABLED", ("enabled",)),
    EnvironmentVariable("LLM_STREAMING", ("streaming",)),
    EnvironmentVariable("LLM_FALLBACK_ENABLED", ("routing", "fallback")),
    EnvironmentVariable("LLM_PROVIDER_PRIORITY", ("routing", "priority"), _set_list),
    # After LLM_PROVIDER_PRIORITY, whose list it reorders.
    EnvironmentVariable("LLM_PROVIDER", ("routing", "priority"), _set_first),
    EnvironmentVariable("LLM_DAILY_COST_LIMIT", ("budgets",), _set_limit("daily", "day")),
    EnvironmentVariable("LLM_MONTHLY_COST_LIMIT", ("budgets",), _set_limit("monthly", "month")),
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
"""Every variable that sets a setting, in the order they are applied."""

NOT_SETTINGS: frozenset[str] = frozenset(
    {
        "SUPERNOVA_CONFIG",
        "SUPERNOVA_HOME",
        "SUPERNOVA_MASTER_KEY_FILE",
        "SUPERNOVA_OIDC_CLIENT_SECRET",
        "SUPERNOVA_SERVE_TOKEN",
        "API_KEY_ENCRYPTION_KEY",
        *(
            key + suffix
            for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HUGGINGFACE_API_TOKEN")
            for suffix in ("", "_BACKUP")
        ),
    }
)
"""Variables for paths and secrets, which other modules read."""


def apply(tree: Node, variables: Mapping[str, Node]) -> tuple[Node, list[str]]:
    """Apply the variables to ``tree``; return the result and their problems."""
    problems: list[str] = []
    for variable in VARIABLES:
        if given := variables.get(variable.name):
            try:
                tree = variable.apply(tree, variable.sets, given)
            except ValueError as error:
                problems.append(problem(given.origin, variable.name, given.value, str(error)))
    return tree, problems


_OURS = ("SUPERNOVA", "LLM", "API", "SECURE", "OPENAI", "ANTHROPIC", "HUGGINGFACE", "OLLAMA")
"""The first words of our variables."""

_OTHER_TOOLS = frozenset(
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
"""Variables of the providers' tools that look like ours."""


def unread(names: Iterable[str], settings: Iterable[str]) -> dict[str, str]:
    """Return each name that is not read although its setter means us, with what to use instead.

    Args:
        settings: the dotted names of all settings.
    """
    known = {variable.name for variable in VARIABLES} | NOT_SETTINGS
    candidates = [name for name in names if name not in known | _OTHER_TOOLS]
    dotted = {re.sub(r"[._-]+", "_", setting).upper(): setting for setting in settings}
    variables = {".".join(map(str, variable.sets)): variable.name for variable in VARIABLES}
    found = {}
    for name in candidates:
        prefix, _, rest = name.partition("_")
        if prefix in ("SUPERNOVA", "LLM") and (setting := dotted.get(re.sub("_+", "_", rest).upper())):
            variable = variables.get(setting)
            found[name] = f"did you mean {variable}?" if variable else f"set {setting!r} in supernova.yaml"
        elif get_close_matches(prefix, _OURS, 1, 0.8) and (near := get_close_matches(name, known, 1, 0.75)):
            found[name] = f"did you mean {near[0]}?"
    return found
