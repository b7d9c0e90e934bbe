"""A template as the text of one file, with everything it extends merged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from supernova_ai.prompts.template import Contract, Template, Variable


def as_file(template: Template) -> str:
    """Return the text of a file that defines the same template, as a start for a user's own."""
    fields = {
        "name": template.name,
        "version": template.version,
        "task": template.task,
        "tier": template.tier,
        "variables": {variable.name: _variable(variable) for variable in template.variables},
        "output": _output(template.contract),
        "example": dict(template.example),
        "disclaimer": dict(template.disclaimers),
        "system": template.system,
    }
    kept = {name: value for name, value in fields.items() if value not in (None, {}, "plain")}
    header = yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{header}---\n{template.body}\n"


def _variable(variable: Variable) -> str | dict[str, Any]:
    fields: dict[str, Any] = {} if variable.type == "text" else {"type": variable.type}
    if variable.choices:
        fields["choices"] = list(variable.choices)
    if variable.untrusted:
        fields["untrusted"] = True
    if not variable.required:
        default = variable.default
        fields["default"] = list(default) if isinstance(default, tuple) else default
    return fields if fields.keys() - {"type"} else variable.type


def _output(contract: Contract) -> str | Mapping[str, Any]:
    if contract.kind == "sections":
        return {"sections": list(contract.sections)}
    return {"schema": contract.schema} if contract.kind == "json" else "plain"


class _Dumper(yaml.SafeDumper):
    """Writes multi-line texts as blocks, and no aliases."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
