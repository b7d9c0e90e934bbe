"""Rendering: invalid values, and the limits of a template."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from jinja2.exceptions import SecurityError

from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import Library, Template, Variable
from supernova_ai.prompts.template import Kind


def template(body: str, *variables: Variable, system: str | None = None) -> Template:
    return Template("mine", 1, "chat", variables, system, body, "h")


def test_all_invalid_values_are_listed() -> None:
    """One message lists missing, wrong and unknown values with their remedies."""
    values = {"action": "bye", "confidence": "high", "facts": "1. close | Close", "newz": "x", "zzz": 1}
    with pytest.raises(InvalidRequest) as raised:
        Library().get("advice-fx").render(values)
    assert str(raised.value) == (
        "prompt 'advice-fx' cannot be rendered: symbol is missing; "
        "action must be one of buy, sell, hold, reduce, avoid, not 'bye'; "
        "confidence must be a finite number, not 'high'; risk_language is missing; "
        "for_it is missing; against_it is missing; for_title is missing; against_title is missing; "
        "notes is missing; plain_answer is missing; "
        "newz is not one of its variables: did you mean 'news'?; "
        "zzz is not one of its variables: it has asset, symbol, action, confidence, risk_language, facts, "
        "for_it, against_it, for_title, against_title, notes, plain_answer, news, violations, language"
    )


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("text", ["", "x"], [1, None, b"x", ["x"]]),
        (
            "number",
            [0, 1.5, Decimal("0.1"), -3],
            ["1", True, float("nan"), float("inf"), Decimal("nan"), None],
        ),
        (
            "date",
            [date(2026, 11, 22), datetime(2026, 11, 22), "2026-11-22"],
            ["22.11.2026", "20261122", "2026-13-01", 20261122, None],
        ),
        (
            "facts",
            ["1. close | Close | $1.00", "no. id | fact\n1. x | X"],
            ["the close is $1", "", ["1. x"], None],
        ),
        ("list", [[], ["a"], ("a", "b")], ["a", [1], {"a"}, None]),
    ],
)
def test_types(kind: Kind, right: list[Any], wrong: list[Any]) -> None:
    """Each type accepts its values and refuses others; a required variable cannot be None."""
    mine = template("{{ x }}", Variable("x", kind))
    for value in right:
        mine.render({"x": value})
    for value in wrong:
        with pytest.raises(InvalidRequest, match=r"x (must be|is missing)"):
            mine.render({"x": value})


def test_date_is_formatted_as_a_day() -> None:
    """A date or a datetime becomes its day in ISO 8601."""
    mine = template("{{ day }}", Variable("day", "date"))
    for value in (date(2026, 11, 22), datetime(2026, 11, 22, 23, 59), "2026-11-22"):
        assert mine.render({"day": value})[0]["content"] == "2026-11-22"


def test_default_replaces_a_missing_value() -> None:
    """A variable with a default may be omitted or None."""
    mine = template("{{ words }}", Variable("words", "number", required=False, default=150))
    assert mine.render({})[0]["content"] == mine.render({"words": None})[0]["content"] == "150"
    assert mine.render({"words": 9})[0]["content"] == "9"


def test_value_is_not_rendered_as_a_template() -> None:
    """Template syntax in a value stays text, also in the system message."""
    said = template("{{ x }}", Variable("x"), system="{{ x }}").render({"x": "{{ 7 * 7 }}{% raw %}"})
    assert [message["content"] for message in said] == ["{{ 7 * 7 }}{% raw %}"] * 2


@pytest.mark.parametrize(
    "body",
    [
        "{{ message.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ message | attr('__class__') }}",
        "{{ '{0.__class__.__init__}'.format(message) }}",
        "{{ items.append('more') }}",
        "{{ range(99999999) | list }}",
        "{{ 'a' * 1000 * 1000 * 1000 }}",
        "{{ ('a' * 1000 * 1000) | replace('a', 'b' * 1000) }}",
        "{{ (['a' * 1000] * 1000) | join('b' * 1000 * 1000) }}",
    ],
)
def test_template_is_sandboxed(body: str) -> None:
    """A template cannot access Python internals, change a value, or loop forever."""
    mine = template(body, Variable("message"), Variable("items", "list"))
    with pytest.raises(ConfigError, match=r"'mine' .*fails when rendered") as raised:
        mine.render({"message": "hi", "items": ["a"]})
    assert isinstance(raised.value.__cause__, SecurityError | OverflowError)


@pytest.mark.parametrize("body", ["{{ message.colour }}", "{{ message + 1 }}", "{{ 1 / 0 }}"])
def test_template_that_fails_is_named(body: str) -> None:
    """A failing expression is a ConfigError with the template's name and source."""
    with pytest.raises(ConfigError, match=r"prompt 'mine' \(built-in\) fails when rendered: "):
        template(body, Variable("message")).render({"message": "hi"})
