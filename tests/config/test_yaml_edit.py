"""Changing one setting in a YAML text."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.config.nodes import parse, to_plain
from supernova_ai.config.yaml_edit import has_value, set_value
from supernova_ai.errors import ConfigError, InvalidRequest

FILE = Path("supernova.yaml")
OURS = (Path(__file__).parents[2] / "config" / "supernova.yaml").read_bytes().decode()


def tree(text: str) -> Any:
    return to_plain(parse(text, FILE)[0])


@pytest.mark.parametrize(
    ("before", "key", "value", "after"),
    [
        ("a: 1  # one\nb: 2\n", "a", "3", "a: 3  # one\nb: 2\n"),
        ("a: 'x'\n", "a", "it's", "a: 'it''s'\n"),
        ('a: "x"\n', "a", "y", 'a: "y"\n'),
        ('a: "x"\n', "a", "5", "a: 5\n"),
        ("a:   # none\nb: 2\n", "a", "1", "a: 1   # none\nb: 2\n"),
        ("a: [1, 2] # list\n", "a", "[3]", "a: [3] # list\n"),
        ("a: 1", "a", "2 # two", "a: 2"),
        ("\ufeffa: 1\r\nb: 2\r\n", "b", "3", "\ufeffa: 1\r\nb: 3\r\n"),
        ("a:\r\n  b: 1 # x\r\n\r\n# end\r\n", "a.c", "2", "a:\r\n  b: 1 # x\r\n  c: 2\r\n\r\n# end\r\n"),
        ("a: {b: 1} # x\n", "a.c", "2", "a: {b: 1, c: 2} # x\n"),
        ("a: {}\n", "a.b.c", "2", "a: {b: {c: 2}}\n"),
        ("a:\n  # b: 1\nc: 3\n", "a.b", "2", "a:\n  b: 2\n  # b: 1\nc: 3\n"),
        ("a: null\n", "a.b", "2", "a: {b: 2}\n"),
        ("", "a.b", "2", "a:\n  b: 2\n"),
        ("# nothing\n", "a", "2", "# nothing\na: 2\n"),
        ("a: 1", "b", "2", "a: 1\nb: 2"),
        ("a:\n- {name: x, b: 1}\n- name: y\n  b: 2\n", "a.y.c", "3", None),
        ("a:\n- {name: x, b: 1}\n", "a.0.b", "3", "a:\n- {name: x, b: 3}\n"),
        ("a:\n  gpt-4.1: {b: 1}\n", "a.gpt-4.1.b", "3", "a:\n  gpt-4.1: {b: 3}\n"),
        ("a: {b: 1}\n", 'a."x:y.z"', "3", "a: {b: 1, x:y.z: 3}\n"),
        ("a: {b: x}\n", "a.b", '"p, q"', 'a: {b: "p, q"}\n'),
        ("a: {b: 1,}\n", "a.b", "2", "a: {b: 2,}\n"),
    ],
)
def test_only_the_value_changes(before: str, key: str, value: str, after: str | None) -> None:
    """The value is replaced, or added in its section; quotes, comments, line ends and the rest stay."""
    changed = set_value(before, FILE, key, value)
    assert changed == (after or "a:\n- {name: x, b: 1}\n- name: y\n  b: 2\n  c: 3\n")


@pytest.mark.parametrize(
    ("text", "key", "value", "error"),
    [
        ("a: 1\n", "a.b", "2", "a is a single value here"),
        ("a: [{name: x}]\n", "a.y.b", "2", "the list has no item 'y'; it has x"),
        ("a: 1\n", "a..b", "2", "is not a setting"),
        ("a: 1\n", "", "2", "is not a setting"),
        ("a: 1\n", "a", "0100", "is not a plain decimal number"),
        ("a: 1\n", "a", "[1", "the value is not YAML"),
        ("a: 1\n", "a", "x\ny", "more than one line"),
        ("a: &here 1\n", "a", "2", "cannot be changed alone"),
        ("a: |\n  text\n", "a", "2", "cannot be changed alone"),
        ("a:\n  b: 1\n", "a", "2", "cannot be changed alone"),
        ("a: &x 1\nb: *x\n", "a", "2", "aliases"),
        ("a: 1\n---\nb: 1\n", "a", "2", "not valid YAML"),
        ("a: [\n", "a", "2", "not valid YAML"),
    ],
)
def test_refusals(text: str, key: str, value: str, error: str) -> None:
    """What cannot be changed alone is refused with the reason, not guessed."""
    with pytest.raises((ConfigError, InvalidRequest), match=error):
        set_value(text, FILE, key, value)


def test_has_value() -> None:
    """It tells whether a text sets a setting."""
    assert has_value(OURS, FILE, "budgets.daily.limit")
    assert not has_value(OURS, FILE, "budgets.weekly.limit")
    assert not has_value(OURS, FILE, "providers.anthropic.timeout.total")


def _paths(value: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [path for key, item in value.items() for path in _paths(item, (*at, f'"{key}"'))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [path for n, item in enumerate(value) for path in _paths(item, (*at, str(n)))]
    return [at]


def common(one: str, other: str) -> int:
    """Return how many letters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


PATHS = _paths(tree(OURS))
VALUES = st.one_of(st.integers(0, 99), st.booleans(), st.none(), st.text("abc #:,'\"[]{}-&*!%é", max_size=12))


@pytest.mark.proof
@given(path=st.sampled_from(PATHS), value=VALUES, added=st.sampled_from([(), ("new",), ("new", "x.y")]))
def test_nothing_else_changes(path: tuple[str, ...], value: Any, added: tuple[str, ...]) -> None:
    """For every setting of the project's file, the tree differs in it only, and the bytes in one place."""
    if added:
        path = (*path[:-1], *(f'"{name}"' for name in added))
    changed = set_value(OURS, FILE, ".".join(path), json.dumps(value, ensure_ascii=False))
    expected = deepcopy(tree(OURS))
    *parents, last = [int(step) if step.isdecimal() else step.strip('"') for step in path]
    node = expected
    for step in parents:
        node = node[step] if isinstance(step, int) else node.setdefault(step, {})
    node[last] = value
    assert tree(changed) == expected
    same = common(OURS, changed)
    rest = common(OURS[same:][::-1], changed[same:][::-1])
    assert "\n" not in OURS[same : len(OURS) - rest]
