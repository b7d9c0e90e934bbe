"""Jinja for templates that people edit: in a sandbox, and bounded, so that no mistake runs without end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from functools import wraps
from io import StringIO
from itertools import count
from typing import Any, TypeVar, cast

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

T = TypeVar("T", bound=Sized)

MOST_STEPS = 10_000
"""Turns of all loops of one rendering together."""

MOST_CHARACTERS = 4_000_000
"""Characters of one rendered text, and of a text that an expression may make."""

_steps: ContextVar[Iterator[int]] = ContextVar("steps")


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose loops, texts and numbers are bounded."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters |= {"_counted": _counted, "_short": _short}
        for name in ("center", "indent", "format", "wordwrap", "batch", "slice"):
            self.filters[name] = _with_small_numbers(name, self.filters[name])
        del self.globals["lipsum"]

    def fill(self, template: Template, values: Mapping[str, Any]) -> str:
        """Return the template's text with these values.

        Raises:
            SecurityError: it goes beyond a bound.
        """
        reset = _steps.set(count(1))
        try:
            text = StringIO()
            for piece in template.generate(values):
                text.write(piece)
                _short(range(text.tell()))
            return text.getvalue()
        finally:
            _steps.reset(reset)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Work out the operation, unless its result could be enormous."""
        if operator == "**":
            _small("**", right)
        elif operator == "*" and (
            isinstance(left, str | list | tuple) or isinstance(right, str | list | tuple)
        ):
            _small("*", left, right)
        elif operator == "%" and isinstance(left, str):
            _small("%", *_digits(left))
        result = super().call_binop(context, operator, left, right)
        return _short(result) if isinstance(result, str | list | tuple) else result

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _Bounds().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return cast(nodes.Template, tree)


class _Bounds(NodeTransformer):
    """Passes what loops go over, and what ``~`` joins, through a filter of ours."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja's name
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - jinja's name
        self.generic_visit(node)
        return nodes.Filter(node, "_short", [], [], None, None, lineno=node.lineno)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of a loop, and count its turns."""
    for item in items:
        if next(_steps.get()) > MOST_STEPS:
            raise SecurityError(f"its loops take more than {MOST_STEPS:,} turns")
        yield item


def _short(made: T) -> T:
    if len(made) > MOST_CHARACTERS:
        raise SecurityError(f"it makes more than {MOST_CHARACTERS:,} characters")
    return made


def _with_small_numbers(name: str, filtered: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filtered)  # jinja's marks too, such as what a filter is given first
    def bounded(*given: Any, **named: Any) -> Any:
        texts = [one for one in given if isinstance(one, str)] if name == "format" else []
        _small(name, *given, *named.values(), *(number for text in texts for number in _digits(text)))
        return filtered(*given, **named)

    return bounded


def _digits(text: str) -> list[int]:
    """Return the numbers in a format such as "%9999d"."""
    return [int(run[:9]) for run in "".join(one if one.isdigit() else " " for one in text).split()]


def _small(name: str, *numbers: Any) -> None:
    if any(isinstance(number, int | float) and abs(number) > 1_000 for number in numbers):
        raise SecurityError(f"{name!r} takes no number above 1,000 here")
