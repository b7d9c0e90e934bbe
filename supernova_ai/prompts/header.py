"""What the header of a template may say, and what is wrong with one, by file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from supernova_ai.config.nodes import to_plain
from supernova_ai.config.problems import explain
from supernova_ai.prompts.files import Part
from supernova_ai.prompts.template import Contract, Kind, Template, Variable, environment
from supernova_ai.types import Tier


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError("must be a name of lowercase letters, digits and '_'")
    return name


_Identifier = Annotated[str, AfterValidator(_identifier)]
_Words = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Variable(_Section):
    type: Kind = "text"
    untrusted: Annotated[bool, Field(strict=True)] = False
    choices: tuple[_Words, ...] = ()
    default: Any = None

    @model_validator(mode="after")
    def _agree(self) -> _Variable:
        if self.untrusted and self.type in ("number", "date"):
            raise ValueError(f"a {self.type} is checked, and needs no fence: remove 'untrusted'")
        if self.choices and self.type != "text":
            raise ValueError("only a text has choices")
        return self


class _Output(_Section):
    sections: Annotated[tuple[_Words, ...], Field(min_length=1)] | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


class _Header(_Section):
    name: str
    version: Annotated[int, Field(strict=True, ge=1)]
    task: _Words
    tier: Tier | None = None
    variables: dict[_Identifier, _Variable] = {}
    output: _Output = _Output()
    disclaimer: _Words | None = None
    example: dict[str, Any] = {}
    system: str | None = None
    extends: str | None = None  # merged in by now, and here only to be proposed

    @field_validator("output", mode="before")
    @classmethod
    def _one_contract(cls, value: object) -> object:
        if value == "plain":
            return {}
        if isinstance(value, dict) and list(value) in (["sections"], ["schema"]):
            return value
        raise ValueError("must be plain, {sections: [names]} or {schema: {…}}")


def build(name: str, part: Part, *, source: str, problems: list[str]) -> Template | None:
    """Return the template of a file, or None with what is wrong added to the problems, a line each."""
    try:
        header = _Header.model_validate(to_plain(part.header))
    except ValidationError as error:
        problems += explain(error, part.header, _Header)
        return None
    template = Template(
        name=header.name,
        version=header.version,
        task=header.task,
        tier=header.tier,
        variables=tuple(_variable(key, given) for key, given in header.variables.items()),
        system=header.system and header.system.strip(),
        body=part.body,
        contract=_contract(header.output),
        disclaimer=header.disclaimer and header.disclaimer.strip(),
        example=MappingProxyType(header.example),
        hash=sha256("\0".join(part.texts).encode()).hexdigest()[:16],
        source=source,
    )
    found = [f"{origin}: {what}" for origin, what in _disagreements(name, template, part)]
    problems += found
    return None if found else template


def _variable(name: str, given: _Variable) -> Variable:
    default = tuple(given.default) if isinstance(given.default, list) else given.default
    required = "default" not in given.model_fields_set
    return Variable(name, given.type, given.untrusted, given.choices, required, default)


def _contract(output: _Output) -> Contract:
    if output.sections:
        return Contract("sections", output.sections)
    return Contract() if output.json_schema is None else Contract("json", schema=output.json_schema)


def _disagreements(name: str, template: Template, part: Part) -> Iterator[tuple[str, str]]:
    if template.name != name:
        yield part.origin("name"), f"name is {template.name!r}: must be {name!r}, as the file is called"
    variables = {variable.name: variable for variable in template.variables}
    for variable in template.variables:
        fault = None if variable.default is None else variable.fault(variable.default)
        if fault:
            yield (
                part.origin("variables", variable.name, "default"),
                f"the default of {variable.name} {fault}",
            )
    for key, value in template.example.items():
        at = part.origin("example", key)
        if key not in variables:
            yield at, f"example.{key} is none of the variables"
        elif value is not None and (fault := variables[key].fault(value)):
            yield at, f"example.{key} {fault}"
    if not template.body:
        yield f"{part.path}:1", "there is no text after the header"
    path, line = part.first
    for at_line, what in _in_text(template.body, variables):
        yield f"{path}:{line + at_line}", what
    safe = {name: variable for name, variable in variables.items() if not variable.untrusted}
    for _, what in _in_text(template.system or "", safe):
        yield part.origin("system"), f"system: {what}"


def _in_text(text: str, variables: Mapping[str, Variable]) -> Iterator[tuple[int, str]]:
    """Yield the line and what is wrong there, where a text is not Jinja or uses other names than these."""
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = environment().parse(text)
        environment().compile(tree, raw=True)  # knows its filters
    except TemplateSyntaxError as error:
        yield error.lineno, f"not valid Jinja: {error.message}"
        return
    for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        yield node.lineno, "a text has no other files: use 'extends' in the header"
    for word in sorted(meta.find_undeclared_variables(tree) - set(variables)):
        near = get_close_matches(word, variables, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == word)
        yield line, f"{word} is used, and is not declared as a variable that may stand here.{hint}"
