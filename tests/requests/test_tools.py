"""Tools from typed functions: their definitions, their choice, and how they run."""

from __future__ import annotations

import enum
import json
import threading
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from supernova_ai import InvalidRequest, ToolCall
from supernova_ai.requests import tools


class Period(enum.Enum):
    DAY = "day"
    WEEK = "week"


class Order(BaseModel):
    symbol: str
    count: int = Field(gt=0)


def price(symbol: str, days_ago: int = 0) -> float:
    """Return the closing price of a share.

    It is adjusted for splits.

    Args:
        symbol: its ticker,
            such as AAPL.
        days_ago (int): 0 for the last close.

    Returns:
        the price in USD.
    """
    return 241.5 - days_ago


async def news(topic: Literal["rates", "shares"], period: Period = Period.DAY) -> list[str]:
    """Return the headlines."""
    return [topic, period.value]


def buy(order: Order, *, limit: Annotated[float | None, Field(description="in USD")] = None) -> Order:
    return order


class Desk:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def note(self, text: str) -> None:
        """Write a note."""
        self.asked.append(text)


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall("call_1", name, json.dumps(arguments))


def test_schema_is_of_annotations_and_words_of_the_docstring() -> None:
    """A function's name, docstring and types are its definition; a default makes an argument optional."""
    (defined,) = tools.definitions([price])
    assert defined == {
        "type": "function",
        "function": {
            "name": "price",
            "description": "Return the closing price of a share.\n\nIt is adjusted for splits.",
            "parameters": {
                "type": "object",
                "properties": {
                    "symbol": {"type": "string", "description": "its ticker, such as AAPL."},
                    "days_ago": {"type": "integer", "default": 0, "description": "0 for the last close."},
                },
                "required": ["symbol"],
                "additionalProperties": False,
            },
        },
    }


def test_docstring_of_many_lines_is_read() -> None:
    """The time to read a docstring, which another program may have written, is linear."""

    def trade() -> None:
        pass

    trade.__doc__ = f"Trade.{chr(10) * 1_000_000}Now."
    (defined,) = tools.definitions([trade])
    assert defined["function"]["description"] == trade.__doc__


def test_literals_enums_and_models_are_in_the_schema() -> None:
    """A model's arguments are described too, and a description in the annotation is kept."""
    asked, bought = (one["function"] for one in tools.definitions([news, buy]))
    assert asked["parameters"]["properties"]["topic"]["enum"] == ["rates", "shares"]
    assert asked["parameters"]["$defs"]["Period"]["enum"] == ["day", "week"]
    assert bought["parameters"]["$defs"]["Order"]["properties"]["count"]["exclusiveMinimum"] == 0
    assert bought["parameters"]["properties"]["limit"]["description"] == "in USD"
    assert bought["description"] == ""


async def test_bound_methods_are_tools() -> None:
    """A bound method has no argument ``self``, and runs on its own object."""
    desk = Desk()
    (noted,) = (one["function"] for one in tools.definitions([desk.note]))
    assert (noted["name"], list(noted["parameters"]["properties"])) == ("note", ["text"])
    assert await tools.functions([desk.note])["note"].run(call("note", text="Buy.")) == "null"
    assert desk.asked == ["Buy."]


async def test_arguments_are_converted_and_checked() -> None:
    """A function gets values of its types, sync or async; the result is JSON, and a text as it is."""
    run = tools.functions([price, news, buy])
    assert await run["price"].run(call("price", symbol="AAPL", days_ago=2)) == "239.5"
    assert await run["news"].run(call("news", topic="rates", period="week")) == '["rates","week"]'
    assert (
        await run["buy"].run(call("buy", order={"symbol": "A", "count": "3"})) == '{"symbol":"A","count":3}'
    )
    for wrong in ({"topic": "sports"}, {}, {"topic": "rates", "perod": "day"}):
        with pytest.raises(ValidationError):
            await run["news"].run(call("news", **wrong))
    for text in ("{", "[1, 2]", '"AAPL"'):
        with pytest.raises(ValidationError):
            await run["price"].run(ToolCall("call_1", "price", text))


async def test_results_of_any_type_become_text() -> None:
    """None, dataclasses, bytes and objects without a JSON form are told to the model all the same."""

    @dataclass
    class Close:
        price: float

    class Odd:
        def __str__(self) -> str:
            return "an odd thing"

    def result(kind: int) -> Any:
        return [None, Close(1.5), {"a": {1, 2}}, Odd(), b"\xff\xfe", float("nan"), "\ud800"][kind]

    run = tools.functions([result])["result"].run
    texts = [await run(call("result", kind=kind)) for kind in range(7)]
    assert texts == ["null", '{"price":1.5}', '{"a":[1,2]}', '"an odd thing"', '"__4="', "null", "\ufffd"]


async def test_function_without_arguments_takes_an_empty_text() -> None:
    """Some providers send no arguments instead of an empty object."""

    def now() -> str:
        return "noon"

    for arguments in ("", "{}"):
        assert await tools.functions([now])["now"].run(ToolCall("call_1", "now", arguments)) == "noon"


async def test_plain_function_runs_on_a_thread() -> None:
    """It may block: the event loop goes on."""

    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await tools.functions([where])["where"].run(ToolCall("call_1", "where", "")) == "false"


def nameless(*values: int) -> int:
    return sum(values)


def untyped(gate: threading.Event) -> None:
    """Has no schema."""


DEFINED = {"type": "function", "function": {"name": "price", "parameters": {"type": "object"}}}
WRONG: list[tuple[Any, str]] = [
    (price, "tools must be a list of functions or definitions"),
    (DEFINED, "tools must be a list of functions"),
    ("price", "tools must be a list"),
    (["price"], "a tool must be a function or a definition in OpenAI's form, not 'price'"),
    ([[price]], "a tool must be a function or a definition"),
    ([price] * 129, "129 tools are too many: at most 128"),
    ([price, price], "two tools have the name 'price': each needs a name of its own"),
    ([price, DEFINED], "two tools have the name 'price'"),
    ([lambda x: x], "a tool needs a name of letters, digits, '_' and '-', not '<lambda>'"),
    ([partial(price, "AAPL")], "a tool must be a function or a definition in OpenAI's form, not functools"),
    ([Desk()], "a tool must be a function or a definition"),
    ([nameless], "the tool nameless has arguments without names, which no model can give"),
    ([untyped], "the arguments of the tool untyped have no schema: Unable to generate .*Event'>"),
    ([{"type": "web_search"}], r"tools\[0\]: type must be 'function', not 'web_search'. Tools that the prov"),
    ([price, {"type": "function"}], r"tools\[1\]: type must be 'function'"),
    ([{"function": {}}], r"tools\[0\]: function.name must be 1 to 64 letters, digits, '_' or '-', not None"),
    ([{"function": {"name": "a b"}}], r"tools\[0\]: function.name"),
    (
        [{"function": {"name": "a", "parameters": []}}],
        r"tools\[0\]: function.parameters must be a JSON schema",
    ),
    ([{"function": {"name": "a", "description": {1}}}], r"tools\[0\] is not JSON"),
    ([{"function": {"name": "a", "description": "\ud800"}}], r"tools\[0\]"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_error_names_the_tool(given: Any, words: str) -> None:
    """Each wrong tool is refused, with what would be right."""
    with pytest.raises(InvalidRequest, match=words):
        tools.definitions(given)


def test_run_tools_needs_functions() -> None:
    """A definition has nothing to run, and without tools there is no loop."""
    with pytest.raises(InvalidRequest, match="run_tools needs tools: at least one typed function"):
        tools.functions([])
    with pytest.raises(InvalidRequest, match=r"tools\[1\] is a definition: run_tools needs the function"):
        tools.functions([news, DEFINED])


def test_choice_of_a_tool() -> None:
    """A name chooses a tool, as OpenAI's object does; other words are refused with the names."""
    chosen = {"type": "function", "function": {"name": "price"}}
    for given in ("price", chosen):
        assert tools.choice(given, ["price"]) == chosen
    assert tools.choice("required", ["price"]) == "required"
    for wrong in ("prices", {"type": "function"}, {"function": "price"}, 5, ["price"]):
        with pytest.raises(
            InvalidRequest, match="tool_choice must be auto, none, required or one of the tool"
        ):
            tools.choice(wrong, ["price"])
