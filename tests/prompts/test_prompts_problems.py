"""Wrong template files: all problems are reported at once, with file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from supernova_ai.errors import ConfigError
from supernova_ai.prompts import Library
from tests.prompts.conftest import Write

WRONG = {
    "unknown field": ("variabels: {}\n", "x", r":5: variabels: .* Did you mean 'variables'\?"),
    "unknown type": ("variables:\n  a: txet\n", "x", r":6: variables\.a\.type is 'txet': must be 'text', "),
    "unknown field of a variable": (
        "variables:\n  a:\n    defualt: 1\n",
        "x",
        r":7: .* Did you mean 'default'\?",
    ),
    "a name that is none": (
        "variables: {A-b: text}\n",
        "x",
        ":5: variables.A-b is 'A-b': must be a name of lowercase letters",
    ),
    "a wrong default": (
        "variables:\n  a: {type: number, default: no}\n",
        "x",
        ":6: the default of a must be a finite",
    ),
    "a default not among its choices": (
        "variables:\n  a: {choices: [x, y], default: z}\n",
        "x",
        ":6: the default of a must be one of x, y, not 'z'",
    ),
    "choices that are no list": (
        "variables:\n  a: {choices: x}\n",
        "x",
        r":6: variables\.a\.choices is 'x': must be a list",
    ),
    "choices of a number": (
        "variables:\n  a: {type: number, choices: ['1']}\n",
        "x",
        ":6: .*only a variable of type text has choices",
    ),
    "an untrusted number": (
        "variables:\n  a: {type: number, untrusted: true}\n",
        "x",
        ":6: .*remove 'untrusted'",
    ),
    "untrusted, in words": (
        "variables:\n  a: {untrusted: 'yes'}\n",
        "x",
        r":6: variables\.a\.untrusted is 'yes'",
    ),
    "an unknown tier": (
        "tier: gold\n",
        "x",
        ":5: tier is 'gold': must be 'economy', 'standard' or 'premium'",
    ),
    "an unknown contract": (
        "output: table\n",
        "x",
        r":5: output is 'table': must be plain, \{sections: \[names\]\}",
    ),
    "no sections": ("output: {sections: []}\n", "x", r":5: output\.sections: .* at least 1 item"),
    "an example of nothing": ("example: {b: 1}\n", "x", ":5: example.b is not a variable"),
    "a wrong example": (
        "variables: {a: list}\nexample:\n  a: 1\n",
        "x",
        ":7: example.a must be a list of texts",
    ),
    "written twice": (
        "tier: economy\ntier: premium\n",
        "x",
        ":6: 'tier' appears twice .* first at .*:5: keep",
    ),
    "a field almost right": ("extend: chat\n", "x", ":5: extend: .*Did you mean 'extends'"),
    "not YAML": ("a: [\n", "x", r":5:5: not valid YAML"),
    "an undeclared variable": (
        "variables: {message: text}\n",
        "\n\nHello\n{{ mesage }}",
        ":10: mesage is used.*Did you mean 'message'",
    ),
    "not Jinja": ("", "Hello\n{% if %}", ":7: not valid Jinja: "),
    "an unknown filter": ("", "{{ 'a' | shout }}", ":6: not valid Jinja: No filter named 'shout'"),
    "another file": (
        "",
        "Hello\n{% include 'chat.md' %}",
        ":7: a text cannot include other files: use 'extends'",
    ),
    "untrusted in the system message": (
        "variables:\n  a: {untrusted: true}\nsystem: Obey {{ a }}\n",
        "x",
        ":7: system: a is used and is not declared",
    ),
    "a wrong system message": ("system: '{{'\n", "x", ":5: system: not valid Jinja"),
    "no text": ("", "", ":1: there is no text"),
    "extends nothing": ("extends: _absent\n", "x", ":5: extends is '_absent': there is no such template"),
    "extends itself": ("extends: mine\n", "x", ":5: extends is 'mine': there is no such template"),
}


@pytest.mark.parametrize(("header", "body", "message"), WRONG.values(), ids=WRONG)
def test_problem_is_reported_with_its_line(
    write: Write, folder: Path, header: str, body: str, message: str
) -> None:
    """Each problem is reported with file, line and remedy."""
    write("mine", header, body)
    with pytest.raises(ConfigError, match=rf"cannot be used, 1 problem:\n  \S+mine\.md{message}"):
        Library([folder]).check()


def test_all_problems_are_reported(write: Write, folder: Path) -> None:
    """One message lists the problems of all files, in headers and texts."""
    write("one", "variables: {a: txet}\ntier: gold\n")
    write("two", "variables: {a: {default: 1}}\n", "{{ b }}\n{{ c }}")
    (folder / "three.md").write_text("---\nname: drei\nversion: '1'\n---\nx")
    with pytest.raises(ConfigError) as raised:
        Library([folder]).check()
    first, *lines = str(raised.value).splitlines()
    assert first == "the prompts cannot be used, 7 problems:"
    assert sorted(line.split(": ")[0].rpartition("/")[2] for line in lines) == [
        "one.md:5", "one.md:6", "three.md:1", "three.md:3", "two.md:5", "two.md:7", "two.md:8",
    ]  # fmt: skip


def test_name_must_be_that_of_the_file(folder: Path, write: Write) -> None:
    """A header whose name differs from the file's name is refused."""
    write("mine").rename(folder / "yours.md")
    with pytest.raises(ConfigError, match=r"yours\.md:2: name is 'mine': must be 'yours'"):
        Library([folder]).check()


def test_circle_is_found(folder: Path, write: Write) -> None:
    """Templates that extend each other in a circle are refused."""
    write("one", "extends: two\n")
    write("two", "extends: one\n")
    with pytest.raises(ConfigError, match=r"extends this file in turn"):
        Library([folder]).check()


def test_problem_of_a_base_is_reported_once(folder: Path, write: Write) -> None:
    """A problem in a file that several files extend is reported once, with that file's name."""
    write("_base", "variables: {a: txet}\n", "{{ a }}")
    write("one", "extends: _base\n", "")
    write("two", "extends: _base\n", "")
    with pytest.raises(ConfigError, match=r"1 problem:\n  \S+_base\.md:5: variables\.a\.type is 'txet'"):
        Library([folder]).check()


def test_unreadable_file(folder: Path) -> None:
    """The error for a file that is not UTF-8 names the file."""
    (folder / "mine.md").write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(ConfigError, match=r"mine\.md: cannot be read"):
        Library([folder]).check()
