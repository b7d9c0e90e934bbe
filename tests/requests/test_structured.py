"""Schemas of structured answers, and how a text is read into its object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from supernova_ai import InvalidRequest
from supernova_ai.requests.structured import WrongAnswer, partial, structured


class Leg(BaseModel):
    symbol: str
    weight: float = 1.0


class Verdict(BaseModel):
    action: Literal["buy", "hold", "sell"]
    confidence: float = Field(ge=0, le=1)
    note: str | None = None
    legs: list[Leg] = []


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class ByName(BaseModel):
    weights: dict[str, float]


class Either(BaseModel):
    value: Leg | int


class Stock(TypedDict):
    symbol: str


@dataclass
class Point:
    x: int
    y: int = 0


SCHEMA = {
    "title": "A verdict!",
    "type": "object",
    "properties": {"action": {"enum": ["buy", "sell"]}, "size": {"type": "integer"}},
    "required": ["action"],
}


def schema_of(model: Any) -> dict[str, Any]:
    return dict(structured(model).response_format["json_schema"])


def objects(schema: Any) -> list[Any]:
    """Return every schema of an object in a schema."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    found = [one for value in inner for one in objects(value)]
    return [schema, *found] if isinstance(schema, dict) and "properties" in schema else found


@pytest.mark.parametrize("model", [Verdict, Tree, Either, Stock, Point, Leg])
def test_strict_schema_has_all_that_openai_asks(model: Any) -> None:
    """Each object requires all its properties and allows no others; there are no defaults."""
    described = schema_of(model)
    assert described["strict"] is True
    assert described["name"] == model.__name__
    found = objects(described["schema"])
    assert found
    for one in found:
        assert one["required"] == list(one["properties"])
        assert one["additionalProperties"] is False
        assert not any("default" in each for each in one["properties"].values())
    jsonschema.Draft202012Validator.check_schema(described["schema"])


def test_references_stand_alone() -> None:
    """A recursive model refers to itself, and OpenAI allows nothing beside a reference."""
    described = schema_of(Tree)["schema"]
    assert described["type"] == "object"  # as OpenAI asks
    for tree in (described, described["$defs"]["Tree"]):
        assert tree["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


class Bond(BaseModel):
    kind: Literal["bond"]


class Share(BaseModel):
    kind: Literal["share"]


def test_tagged_unions_are_strict() -> None:
    """OpenAI knows anyOf, and neither oneOf nor discriminators."""

    class Asset(BaseModel):
        asset: Annotated[Bond | Share, Field(discriminator="kind")]
        mark: Literal["a", None]

    described = schema_of(Asset)
    assert described["strict"] is True
    references = [{"$ref": "#/$defs/Bond"}, {"$ref": "#/$defs/Share"}]
    assert described["schema"]["properties"]["asset"] == {"anyOf": references, "title": "Asset"}
    assert described["schema"]["properties"]["mark"]["enum"] == ["a", None]
    assert structured(Asset).parse('{"asset": {"kind": "bond"}, "mark": null}').asset == Bond(kind="bond")


@pytest.mark.parametrize("kind", [tuple[int, str], set[int]])
def test_tuples_and_sets_are_not_strict(kind: Any) -> None:
    """OpenAI refuses their schemas as strict ones, and takes them as others."""
    assert schema_of(type("Odd", (BaseModel,), {"__annotations__": {"odd": kind}}))["strict"] is False


def test_property_called_default_is_kept() -> None:
    """Names of properties are no words of the schema."""

    class Odd(BaseModel):
        default: int
        properties: str
        required: bool = False

    described = schema_of(Odd)["schema"]
    assert list(described["properties"]) == described["required"] == ["default", "properties", "required"]


@pytest.mark.parametrize("model", [ByName, SCHEMA, {"type": "object"}])
def test_open_objects_are_not_strict(model: Any) -> None:
    """A mapping with any names, and a schema with optional properties, are sent as they are."""
    described = schema_of(model)
    assert described["strict"] is False
    if isinstance(model, dict):
        assert described["schema"] == model


def test_schema_that_is_strict_is_sent_as_strict() -> None:
    """A JSON schema with closed objects is strict; its title is its name."""
    closed = SCHEMA | {"required": ["action", "size"], "additionalProperties": False}
    described = schema_of(closed)
    assert (described["name"], described["strict"], described["schema"]) == ("A_verdict_", True, closed)


@pytest.mark.parametrize(
    "text",
    [
        '{"action": "buy", "confidence": 0.5}',
        ' \n{"action": "buy", "confidence": 0.5, "note": null, "legs": []}\n',
        'Here it is:\n```json\n{"action": "buy", "confidence": 0.5}\n```\nGood luck.',
        '```\n{"action": "buy", "confidence": 0.5}\n```',
        pytest.param('{"action": "buy", "confidence": 0.5}' + "\n" * 1_000_000, id="many newlines"),
    ],
)
def test_text_becomes_the_object(text: str) -> None:
    """JSON is read, also from a fence of Markdown; defaults are filled in."""
    assert structured(Verdict).parse(text) == Verdict(action="buy", confidence=0.5)


def test_each_kind_of_type_is_read() -> None:
    """Dataclasses, TypedDicts, unions, recursion, mappings and schemas give their own objects."""
    assert structured(Point).parse('{"x": 1}') == Point(1)
    assert structured(Stock).parse('{"symbol": "A"}') == {"symbol": "A"}
    assert structured(Either).parse('{"value": {"symbol": "A"}}').value == Leg(symbol="A")
    assert structured(Tree).parse('{"name": "a", "children": [{"name": "b"}]}').children == [Tree(name="b")]
    assert structured(ByName).parse('{"weights": {"A": 1}}').weights == {"A": 1.0}
    assert structured(SCHEMA).parse('{"action": "buy"}') == {"action": "buy"}


def test_fence_inside_a_text_is_no_fence() -> None:
    """JSON whose texts have a fence of Markdown is read whole."""
    said = {"symbol": "Run:\n```json\n{}\n```", "weight": 2}
    assert structured(Leg).parse(json.dumps(said)).symbol == said["symbol"]
    assert structured(Leg).parse(f"```json\n{json.dumps(said)}\n```").symbol == said["symbol"]


WRONG: list[tuple[Any, str, str, tuple[Any, ...]]] = [
    (Verdict, '{"action": "wait", "confidence": 0.5}', "action: Input should be 'buy', 'hold'", ("action",)),
    (Verdict, '{"action": "buy"}', "confidence: Field required", ("confidence",)),
    (
        Verdict,
        '{"action": "buy", "confidence": 1, "legs": [{"symbol": 1}]}',
        r"legs.0.symbol: Input should be a",
        ("legs", 0, "symbol"),
    ),
    (Verdict, '{"action": "buy"', "Invalid JSON: EOF", ()),
    (Verdict, "", "Invalid JSON: EOF", ()),
    (Verdict, "Buy!", "Invalid JSON: expected value", ()),
    (SCHEMA, '{"action": "hold"}', r"action: 'hold' is not one of \['buy', 'sell'\]", ("action",)),
    (SCHEMA, "{}", "'action' is a required property", ()),
    (SCHEMA, "[]", r"\[\] is not of type 'object'", ()),
    (SCHEMA, '{"action": "buy", "size": "9"}', "size: '9' is not of type 'integer'", ("size",)),
    (SCHEMA, "Buy!", "Invalid JSON: Expecting value", ()),
    (SCHEMA, "[" * 100_000, "Invalid JSON", ()),
    (SCHEMA, '{"action": "buy", "size": NaN}', "Invalid JSON: NaN is not a number in JSON", ()),
]


@pytest.mark.parametrize(("model", "text", "words", "place"), WRONG)
def test_problems_name_their_places(model: Any, text: str, words: str, place: tuple[Any, ...]) -> None:
    """Each problem has its place and its reason."""
    with pytest.raises(WrongAnswer, match=words) as raised:
        structured(model).parse(text)
    assert tuple(raised.value.problems[0]["loc"]) == place
    json.dumps(raised.value.problems)


UNUSABLE: list[tuple[Any, str]] = [
    ("Verdict", "response_model must be a pydantic model, another type, or a JSON schema, not 'Verdict'"),
    (Verdict(action="buy", confidence=1), "response_model must be a pydantic model"),
    (5, "response_model must be"),
    ([Verdict], "response_model must be"),
    (object(), "has no JSON schema|response_model must be"),
    (type("Event", (), {}), "response_model <class .*Event'> has no JSON schema"),
    ({"type": "object", "$ref": "#/$defs/Leg"}, r"the schema has nothing at its '\$ref' '#/\$defs/Leg'"),
    (
        {"type": "object", "items": {"$ref": "http://127.0.0.1:1/a"}},
        "nothing at its '.ref' 'http://127.0.0.1:1/a",
    ),
    ({"type": "object", "pattern": "("}, "response_model is not a JSON schema"),
    ({"type": "object", "default": float("nan")}, "response_model is not a JSON schema"),
    ({"type": "objekt"}, "response_model is not a JSON schema: 'objekt' is not valid"),
    ({"type": "array"}, "response_model: the schema must have 'type': 'object', as all providers ask"),
    ({}, "response_model: the schema must have 'type': 'object'"),
    ({"type": "object", "description": {1}}, "response_model is not a JSON schema"),
    ({"type": "object", "description": "\ud800"}, "response_model"),
]


@pytest.mark.parametrize(("model", "words"), UNUSABLE)
def test_unusable_model_is_refused(model: Any, words: str) -> None:
    """What has no schema of an object is refused, and the error says why."""
    with pytest.raises(InvalidRequest, match=words) as raised:
        structured(model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", [list[Leg], int, Leg | Point, str])
def test_schema_that_is_no_object_is_refused(model: Any) -> None:
    """Providers take only objects: a list or a union goes into a model."""
    with pytest.raises(InvalidRequest, match=r"response_model .* must be an object: put it into a model"):
        structured(model)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\é\n', max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.data(),
)
def test_partial_never_raises_and_ends_whole(value: Any, data: st.DataObject) -> None:
    """The beginning of a JSON text gives what it has so far, and the whole text gives the value."""
    text = json.dumps(value)
    partial(text[: data.draw(st.integers(0, len(text)))])
    assert partial(text) == value


def test_partial_has_a_cut_text() -> None:
    """The last text of a partial object may be cut; before the first value there is none."""
    assert partial("") is None
    assert partial('{"action": "b') == {"action": "b"}
    assert partial('{"action": "buy", "conf') == {"action": "buy"}
    assert partial("Sure") is None
