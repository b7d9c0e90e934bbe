"""Messages about configuration problems: the origin, the setting, its value and the remedy."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from supernova_ai.characters import counted
from supernova_ai.config.fields import mask, nearest
from supernova_ai.config.nodes import UNREADABLE, Loc, Node, origin_of
from supernova_ai.config.schema import Config
from supernova_ai.errors import ConfigError
from supernova_ai.secret import redact

_REMEDIES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping, such as {name: value}",
    "model_type": "must be a mapping of settings, such as {name: value}",
    "string_pattern_mismatch": "must be a name of lowercase letters, digits, '-' and '_'",
    "string_type": "must be text; put quotes around it",
    "tuple_type": "must be a list; write [] for none",
}
_SECRET_NAME = re.compile(r"key|token|secret|password", re.IGNORECASE)
_MAY_BE_SECRET = (["keys"], ["notify"], ["client_secret"])
"""The last names of settings in which somebody may have written a secret."""
_MAX_PROBLEMS = 20
_MAX_LINE = 1_000


def config_error(problems: list[str], what: str = "the configuration") -> ConfigError:
    """Return an error that lists the first problems, one line each."""
    lines = [_safe(problem) for problem in problems[:_MAX_PROBLEMS]]
    shown = [line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…" for line in lines]
    more = [f"… and {len(problems) - _MAX_PROBLEMS:,} more"] if len(problems) > _MAX_PROBLEMS else []
    return ConfigError(
        "\n  ".join([f"{what} cannot be used, {counted(len(problems), 'problem')}:", *shown, *more])
    )


def explain(error: ValidationError, tree: Node, model: type[BaseModel] = Config) -> list[str]:
    """Return a line for each of pydantic's errors in the ``model``, with the value's origin in ``tree``."""
    return [
        _explain(detail, tree, model)
        for detail in error.errors(include_url=False)
        if detail["input"] is not UNREADABLE
    ]


def problem(origin: str, field: str, value: object, remedy: str) -> str:
    """Return one problem as one line."""
    shown = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return f"{origin}: {field} is {_safe(shown)[:100]}: {remedy}"


def _explain(detail: ErrorDetails, tree: Node, model: type[BaseModel]) -> str:
    loc: Loc = tuple(step for step in detail["loc"] if step != "[key]")
    origin, field, value = origin_of(tree, loc), _dotted(loc), detail["input"]
    if detail["type"] == "extra_forbidden":  # the value may be a secret, so it is not shown
        return f"{origin}: {field}: {_unknown(loc, model)}"
    if detail["type"] == "missing":
        return f"{origin}: {field} is missing"
    if isinstance(value, dict | list | tuple):
        return f"{origin}: {field}: {_remedy(detail)}"
    if [step for step in loc if isinstance(step, str)][-1:] in _MAY_BE_SECRET:
        return f"{origin}: {field} is not usable (not shown here): {_remedy(detail)}"
    return problem(origin, field, value, _remedy(detail))


def _remedy(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            known = re.findall("'(.*?)'", context["expected"])
            return f"must be {context['expected']}.{nearest(detail['input'], known)}"
        case "string_pattern_mismatch" if context["pattern"] == r"^\S+$":
            return "must be a name without spaces"
    return _REMEDIES.get(detail["type"]) or re.sub(r"^Input should be", "must be", detail["msg"])


def _unknown(loc: Loc, model: type[BaseModel]) -> str:
    key = str(loc[-1])
    if _SECRET_NAME.search(key):
        return "API keys do not belong here; store one with `supernova keys add`"
    known = _settings_at(loc[:-1], model)
    return f"there is no such setting.{nearest(key, known) or ' Use one of ' + ', '.join(known) + '.'}"


def _settings_at(loc: Loc, model: type[BaseModel]) -> list[str]:
    """Return the names of the settings in the section at ``loc``."""
    kind: Any = model
    for step in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(step)].annotation
        else:  # dict[name, section] or tuple[section, ...]
            kind = next(arg for arg in reversed(get_args(kind)) if arg is not ...)
    return sorted(kind.model_fields)


def _dotted(loc: Loc) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return text.removeprefix(".") or "the configuration"


def _safe(text: str) -> str:
    return mask(redact(text))
