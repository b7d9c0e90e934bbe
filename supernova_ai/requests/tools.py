"""Tools: functions of the program that a model may call, described by their types and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from supernova_ai.characters import quoted, well_formed
from supernova_ai.concurrency import in_thread
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests.messages import check_json
from supernova_ai.types import ToolCall

Tool = Callable[..., Any] | Mapping[str, Any]
"""A typed function, plain or async, or a definition of one in OpenAI's form."""

_UNUSABLE = "a tool must be a function or a definition in OpenAI's form"

_RESULT: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_bytes="base64"))
"""Writes what a function returns as JSON."""

MAX_TOOLS = 128
"""The most that OpenAI accepts."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ARGUMENTS = re.compile(r"^[ \t]*(?:Args|Arguments|Parameters):[ \t]*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")
_SECTION = re.compile(r"^[ \t]*(?:Returns|Raises|Yields|Examples?|Notes?):[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function as a tool: its definition in OpenAI's form, and the function with checked arguments."""

    definition: Mapping[str, Any]
    adapter: TypeAdapter[Any]

    @property
    def name(self) -> str:
        return str(self.definition["function"]["name"])

    async def run(self, call: ToolCall) -> str:
        """Run the function with the arguments of the call; return its result as the model reads it.

        A plain function runs on a thread of its own.

        Raises:
            pydantic.ValidationError: the arguments do not fit the function's types.
            Exception: whatever the function raises.
        """
        result = await in_thread(self.adapter.validate_json, call.arguments or "{}")
        if inspect.isawaitable(result):
            result = await result
        return well_formed(
            result if isinstance(result, str) else _RESULT.dump_json(result, fallback=str).decode()
        )


def definitions(given: object) -> tuple[Mapping[str, Any], ...]:
    """Return the tools in OpenAI's form.

    Raises:
        InvalidRequest: one is wrong; the message names it.
    """
    if isinstance(given, Mapping | str) or not isinstance(given, Sequence):
        raise InvalidRequest(f"tools must be a list of functions or definitions, not {quoted(given)}")
    if len(given) > MAX_TOOLS:
        raise InvalidRequest(f"{len(given)} tools are too many: at most {MAX_TOOLS} are allowed")
    found = tuple(
        _checked(f"tools[{number}]", one) if isinstance(one, Mapping) else _of_function(one).definition
        for number, one in enumerate(given)
    )
    names = [one["function"]["name"] for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"two tools have the name {name!r}: each needs a name of its own")
    return found


@lru_cache(maxsize=128)
def function_tool(function: Any) -> FunctionTool:
    """Return a typed function as a tool: the schema of its arguments by pydantic, the words by its docstring.

    Raises:
        InvalidRequest: it is no function, or pydantic has no schema for its arguments.
    """
    name = getattr(function, "__name__", None)
    if not callable(function) or name is None:  # a partial function has no name that tells what it does
        raise InvalidRequest(f"{_UNUSABLE}, not {quoted(function)}")
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(f"a tool needs a name of letters, digits, '_' and '-', not {quoted(name)}")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(function)
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(f"the arguments of the tool {name} have no schema: {reason}") from None
    if schema.get("type") != "object":
        raise InvalidRequest(f"the tool {name} has arguments without names, which no model can give")
    words, arguments = _docstring(inspect.getdoc(function) or "")
    for argument, properties in schema.get("properties", {}).items():
        properties.pop("title", None)
        if argument in arguments:
            properties.setdefault("description", arguments[argument])
    described = {"name": name, "description": words, "parameters": schema}
    return FunctionTool({"type": "function", "function": described}, adapter)


def functions(given: object) -> dict[str, FunctionTool]:
    """Return the tools that ``run_tools`` calls, by name.

    Raises:
        InvalidRequest: one is wrong, or is a definition without a function.
    """
    if not definitions(given):
        raise InvalidRequest("run_tools needs tools: at least one typed function")
    assert isinstance(given, Sequence)
    for number, one in enumerate(given):
        if isinstance(one, Mapping):
            raise InvalidRequest(f"tools[{number}] is a definition: run_tools needs the function itself")
    return {tool.name: tool for tool in map(_of_function, given)}


def choice(given: object, names: Sequence[str]) -> object:
    """Return the parameter ``tool_choice``; a tool's name chooses that tool.

    Raises:
        InvalidRequest: it is not known.
    """
    if given in ("auto", "none", "required"):
        return given
    name: object = given
    if isinstance(given, Mapping):
        function = given.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
    if name not in names:
        raise InvalidRequest(
            f"tool_choice must be auto, none, required or one of the tools {', '.join(names)}, "
            f"not {quoted(given)}"
        )
    return {"type": "function", "function": {"name": name}}


def _of_function(function: object) -> FunctionTool:
    try:
        return function_tool(function)
    except TypeError:  # not hashable, as a function always is
        raise InvalidRequest(f"{_UNUSABLE}, not {quoted(function)}") from None


def _checked(name: str, tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise InvalidRequest(
            f"{name}: type must be 'function', not {quoted(tool.get('type'))}. Tools that the provider runs "
            f"have prices of their own, which no hold covers"
        )
    if not isinstance(function.get("name"), str) or _NAME.fullmatch(function["name"]) is None:
        raise InvalidRequest(
            f"{name}: function.name must be 1 to 64 letters, digits, '_' or '-', "
            f"not {quoted(function.get('name'))}"
        )
    if not isinstance(function.get("parameters", {}), Mapping):
        raise InvalidRequest(f"{name}: function.parameters must be a JSON schema")
    check_json(name, tool)
    return {"type": "function", **tool}


def _docstring(doc: str) -> tuple[str, dict[str, str]]:
    """Return the description in a docstring of Google's style, and those of the arguments."""
    words, *rest = _ARGUMENTS.split(doc, maxsplit=1)
    described: dict[str, str] = {}
    name = ""
    for line in _SECTION.split(rest[0])[0].splitlines() if rest else ():
        if match := _ARGUMENT.match(line):
            name, described[match[1]] = match[1], match[2].strip()
        elif name and line.strip():
            described[name] += f" {line.strip()}"
    return _SECTION.split(words)[0].strip(), described
