"""The header of a template: its fields, and its problems with file and line."""

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

from supernova_ai.config.advice import LanguageCode
from supernova_ai.config.nodes import to_plain
from supernova_ai.config.problems import explain
from supernova_ai.prompts.files import TemplateFile
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
            raise ValueError(f"a {self.type} is validated and needs no fence: remove 'untrusted'")
        if self.choices and self.type != "text":
            raise ValueError("only a variable of type text has choices")
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
    disclaimer: dict[LanguageCode, _Words] = {}
    example: dict[str, Any] = {}
    system: str | None = None
    extends: str | None = None  # already merged; here so that messages can suggest it

    @field_validator("disclaimer", mode="before")
    @classmethod
    def _one_disclaimer(cls, value: object) -> object:
        return {"en": value} if isinstance(value, str) else {} if value is None else value

    @field_validator("output", mode="before")
    @classmethod
    def _one_contract(cls, value: object) -> object:
        if value == "plain":
            return {}
        if isinstance(value, dict) and list(value) in (["sections"], ["schema"]):
            return value
        raise ValueError("must be plain, {sections: [names]} or {schema: {…}}")


def build(name: str, file: TemplateFile, *, source: str, problems: list[str]) -> Template | None:
    """Return the template of a file, or None after adding its problems, one line each."""
    try:
        header = _Header.model_validate(to_plain(file.header))
    except ValidationError as error:
        problems += explain(error, file.header, _Header)
        return None
    template = Template(
        name=header.name,
        version=header.version,
        task=header.task,
        tier=header.tier,
        variables=tuple(_variable(key, given) for key, given in header.variables.items()),
        system=header.system and header.system.strip(),
        body=file.body,
        contract=_contract(header.output),
        disclaimers={language: text.strip() for language, text in header.disclaimer.items()},
        example=MappingProxyType(header.example),
        hash=sha256("\0".join(file.texts).encode()).hexdigest()[:16],
        source=source,
    )
    found = [f"{origin}: {what}" for origin, what in _disagreements(name, template, file)]
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


def _disagreements(name: str, template: Template, file: TemplateFile) -> Iterator[tuple[str, str]]:
    if template.name != name:
        yield file.origin("name"), f"name is {template.name!r}: must be {name!r}, the file's name"
    variables = {variable.name: variable for variable in template.variables}
    for variable in template.variables:
        fault = None if variable.default is None else variable.fault(variable.default)
        if fault:
            yield (
                file.origin("variables", variable.name, "default"),
                f"the default of {variable.name} {fault}",
            )
    for key, value in template.example.items():
        at = file.origin("example", key)
        if key not in variables:
            yield at, f"example.{key} is not a variable"
        elif value is not None and (fault := variables[key].fault(value)):
            yield at, f"example.{key} {fault}"
    if not template.body:
        yield f"{file.path}:1", "there is no text after the header"
    path, line = file.body_start
    for at_line, what in _text_problems(template.body, variables):
        yield f"{path}:{line + at_line}", what
    trusted = {name: variable for name, variable in variables.items() if not variable.untrusted}
    for _, what in _text_problems(template.system or "", trusted):
        yield file.origin("system"), f"system: {what}"


def _text_problems(text: str, variables: Mapping[str, Variable]) -> Iterator[tuple[int, str]]:
    """Yield the line and problem where a text is not valid Jinja or uses other variables than these."""
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = environment().parse(text)
        environment().compile(tree, raw=True)  # refuses unknown filters
    except TemplateSyntaxError as error:
        yield error.lineno, f"not valid Jinja: {error.message}"
        return
    for node in tree.find_all((nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)):
        yield node.lineno, "a text cannot include other files: use 'extends' in the header"
    for word in sorted(meta.find_undeclared_variables(tree) - set(variables)):
        near = get_close_matches(word, variables, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == word)
        yield line, f"{word} is used and is not declared as a variable that is allowed here.{hint}"
