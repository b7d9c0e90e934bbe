"""A template that would run forever or fill the memory is stopped; the error names it."""

from __future__ import annotations

import pytest

from supernova_ai.errors import ConfigError
from supernova_ai.prompts import Library
from supernova_ai.prompts.sandbox import MAX_STEPS
from tests.prompts.conftest import Write

_AGAIN = "{% set n = namespace(s='a') %}{% for i in range(99) %}{% set n.s = n.s <op> n.s %}{% endfor %}"

ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "one loop too many": "{% for a in range(%d) %}{% endfor %}".replace("%d", str(MAX_STEPS + 1)),
    "a loop that writes": "{% for a in range(9999) %}{{ 'a' * 999 }}{% endfor %}",
    "a text times a number": "{{ 'a' * 999999999 }}",
    "a number times a list": "{{ (999999999 * [1])|length }}",
    "a power": "{{ 9 ** 9999999 }}",
    "a format": "{{ '%999999999d' % 1 }}",
    "a format as a filter": "{{ '%999999999d'|format(1) }}",
    "a wide filter": "{{ 'a'|center(999999999) }}",
    "a deep indent": "{{ 'a\nb'|indent(width=999999999) }}",
    "a text that doubles": _AGAIN.replace("<op>", "~"),
    "a text that is added": _AGAIN.replace("<op>", "+"),
    "a macro of itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop of itself": "{% for a in 'aa' recursive %}{{ loop('aa') }}{% endfor %}",
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_template_is_stopped(body: str, write: Write) -> None:
    """Loop iterations, text lengths and numbers are limited."""
    template = Library([write("mine", body=body).parent]).get("mine")
    with pytest.raises(ConfigError, match=r"prompt 'mine' .*mine\.md\) fails when rendered: "):
        template.render({})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{% for a in items %}{{ loop.index }}. {{ a }}{{ ';' if not loop.last }}{% endfor %}", "1. x;2. y"),
        ("{% for a in items if a != 'x' %}{{ a }} of {{ loop.length }}{% else %}none{% endfor %}", "y of 1"),
        (
            "{{ '%.2f'|format(1.234) }} {{ '%s!' % 'a' }} {{ 3 * 400 }} {{ 2 ** 10 }} {{ '-' * 5 }}",
            "1.23 a! 1200 1024 -----",
        ),
        ("{{ items|join(', ')|indent(2) ~ '.' }}", "x, y."),
        (f"{{% for a in range({MAX_STEPS}) %}}{{% endfor %}}done", "done"),
    ],
)
def test_ordinary_templates_render_as_in_jinja(body: str, said: str, write: Write) -> None:
    """Loops, filters, sums and formats work as in Jinja, and each rendering starts its own count."""
    header = "variables: {items: list}\nexample: {items: [x, y]}\n"
    template = Library([write("mine", header, body).parent]).get("mine")
    for _ in range(2):
        assert template.render(template.example)[-1]["content"] == said
