"""Structured answers: the schema that an answer must have, and the object that it is read into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json

from supernova_ai.characters import quoted, texts_in, well_formed
from supernova_ai.errors import InvalidRequest
from supernova_ai.requests.messages import text
from supernova_ai.types import T

ResponseModel = type[T] | Mapping[str, Any]
"""What an answer must be: a type that pydantic knows, or a JSON schema."""

# No text in JSON has a line's end. Each blank belongs to one line: a pattern over several would be quadratic.
_FENCED = re.compile(r"^[^\S\n]*```\w*[^\S\n]*$(.*?)^[^\S\n]*```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


class WrongAnswer(ValueError):
    """A text is not JSON of the schema. ``problems`` has a mapping for each error: ``loc`` and ``msg``."""

    def __init__(self, problems: Sequence[Mapping[str, Any]]) -> None:
        self.problems = problems
        super().__init__(in_one_line(problems))


def in_one_line(problems: Iterable[Mapping[str, Any]]) -> str:
    """Return pydantic's errors, or others with ``loc`` and ``msg``, as one line.

    >>> in_one_line([{"loc": ("legs", 0), "msg": "Field required"}, {"loc": (), "msg": "Invalid JSON"}])
    'legs.0: Field required; Invalid JSON'
    """
    parts = ((".".join(map(str, one["loc"])), one["msg"]) for one in problems)
    # A name in an answer may have half a character, which cannot be sent.
    return well_formed("; ".join(": ".join(filter(None, both)) for both in parts))


@dataclass(frozen=True, slots=True)
class StructuredAnswer:
    """The schema of an answer. Without an adapter, ``parse`` returns what the JSON is.

    ``schema`` is strict in OpenAI's sense if ``strict``: every property is required, and no other is allowed.
    """

    name: str
    schema: Mapping[str, Any]
    strict: bool
    adapter: TypeAdapter[Any] | None = None

    @property
    def response_format(self) -> dict[str, Any]:
        """The schema as OpenAI's parameter ``response_format``."""
        described = {"name": self.name, "schema": self.schema, "strict": self.strict}
        return {"type": "json_schema", "json_schema": described}

    def parse(self, answer: str) -> Any:
        """Return the object that the text is; a fence of Markdown around it is left out.

        Raises:
            WrongAnswer: the text is not JSON, or has another schema.
        """
        fenced = _FENCED.search(answer)
        found = (fenced[1] if fenced else answer).strip()
        if self.adapter is not None:
            try:
                return self.adapter.validate_json(found)
            except ValidationError as error:
                problems: list[Any] = error.errors(include_url=False, include_context=False)
                raise WrongAnswer(problems) from None
            except Exception as error:  # of a validator of the caller's
                problem = {"loc": (), "msg": f"{type(error).__name__}: {error}"}
                raise WrongAnswer([problem]) from error
        from jsonschema import Draft202012Validator  # here, since few calls have a JSON schema
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        try:
            value = json.loads(found, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise WrongAnswer([{"loc": (), "msg": f"Invalid JSON: {error}"}]) from None
        try:
            # Without a registry, jsonschema fetches the addresses in a '$dynamicRef'.
            faults = list(Draft202012Validator(self.schema, registry=Registry()).iter_errors(value))
        except (Unresolvable, RecursionError) as error:
            raise WrongAnswer([{"loc": (), "msg": f"The schema cannot be applied: {error}"}]) from None
        if problems := [{"loc": tuple(one.absolute_path), "msg": one.message} for one in faults]:
            raise WrongAnswer(problems)
        return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's JSON has and others cannot read."""
    raise ValueError(f"{name} is not a number in JSON")


def structured(model: Any) -> StructuredAnswer:
    """Return the schema of a type that pydantic knows, or of a JSON schema.

    Raises:
        InvalidRequest: it is neither.
    """
    if isinstance(model, Mapping):
        return _of_schema(model)
    try:
        return _of_type(model)
    except TypeError:  # not hashable, as a type always is
        raise _unusable(model) from None


@lru_cache(maxsize=256)
def _of_type(model: Any) -> StructuredAnswer:
    if isinstance(model, str | int | float | bytes):
        raise _unusable(model)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        schema = _rooted(adapter.json_schema())
    except (PydanticUserError, NameError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(f"response_model {quoted(model)} has no JSON schema: {reason}") from None
    if schema.get("type") != "object":
        raise InvalidRequest(f"response_model {quoted(model)} must be an object: put it into a model")
    strict = _strict(schema)
    name = _NAME.sub("_", getattr(model, "__name__", "answer"))[:64]
    return StructuredAnswer(name, schema if strict is None else strict, strict is not None, adapter)


def _of_schema(given: Mapping[str, Any]) -> StructuredAnswer:
    try:
        written = json.dumps(given, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"response_model is not a JSON schema: {error}") from None
    return _of_schema_text(written)


@lru_cache(maxsize=256)
def _of_schema_text(given: str) -> StructuredAnswer:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        schema = json.loads(given)
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        reason = getattr(error, "message", error)
        raise InvalidRequest(f"response_model is not a JSON schema: {reason}") from None
    for one in texts_in(schema):
        text("response_model", one)
    for reference in _references(schema):
        if not _has(schema, reference):  # what is elsewhere would be fetched from there
            raise InvalidRequest(f"response_model: the schema has nothing at its '$ref' {quoted(reference)}")
    if schema.get("type") != "object":
        raise InvalidRequest("response_model: the schema must have 'type': 'object', as all providers ask")
    name = _NAME.sub("_", str(schema.get("title") or "answer"))[:64]
    return StructuredAnswer(name, schema, _strict(schema) == schema)


def _unusable(model: object) -> InvalidRequest:
    return InvalidRequest(
        f"response_model must be a pydantic model, another type, or a JSON schema, not {quoted(model)}"
    )


def partial(answer: str) -> Any:
    """Return what the beginning of a JSON text has so far, None if nothing: the last string may be cut."""
    try:
        return from_json(answer.strip(), allow_partial="trailing-strings")
    except ValueError:
        return None


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with an object at its root, where a recursive type has a reference to one."""
    if "$ref" not in schema:
        return schema
    return {**schema["$defs"][schema["$ref"].rpartition("/")[2]], "$defs": schema["$defs"]}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)


def _has(schema: Any, reference: str) -> bool:
    """Return whether a reference such as "#/$defs/Leg" leads to a part of the schema."""
    root, *parts = reference.split("/")
    for part in parts:
        schema = schema.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(schema, dict) else None
    return root == "#" and isinstance(schema, dict | bool)


_NEVER_STRICT = {
    *("allOf", "contains", "dependentRequired", "dependentSchemas", "if", "maxProperties", "minProperties"),
    *("not", "patternProperties", "prefixItems", "propertyNames", "uniqueItems"),
}
"""Words of JSON schema that OpenAI refuses in a strict one."""

_VALUES = ("const", "enum", "examples")
"""Words that are followed by values and not by schemas."""


def _strict(schema: Any) -> Any:
    """Return the schema with each property required and no other allowed; None where it cannot be strict."""
    if isinstance(schema, list):
        items = [_strict(one) for one in schema]
        return None if None in items else items
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}  # OpenAI allows nothing beside it
    if _NEVER_STRICT & schema.keys():
        return None
    if schema.get("type") == "object" and not (
        schema.get("properties") and not schema.get("additionalProperties")
    ):
        return None
    strict: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("default", "discriminator"):
            continue
        if name in _VALUES:
            strict[name] = value
            continue
        named = name in ("properties", "$defs") and isinstance(value, Mapping)
        inner = {key: _strict(one) for key, one in value.items()} if named else _strict(value)
        if (inner is None and value is not None) or (named and None in inner.values()):
            return None
        strict["anyOf" if name == "oneOf" else name] = inner
    if "properties" in strict:
        strict |= {"required": list(strict["properties"]), "additionalProperties": False}
    return strict
