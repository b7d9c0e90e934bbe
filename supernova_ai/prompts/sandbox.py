"""A Jinja sandbox for user-edited templates, with limits on loops, texts and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from functools import wraps
from io import StringIO
from itertools import count
from typing import Any, TypeVar, cast

from jinja2 import Template, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_join, do_replace
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_eval_context
from jinja2.visitor import NodeTransformer

T = TypeVar("T", bound=Sized)

MAX_STEPS = 10_000
"""Iterations of all loops in one rendering."""

MAX_CHARACTERS = 4_000_000
"""Characters of a rendered text, and of a text that an operator or a filter makes."""

_SEQUENCES = (str, list, tuple)

_steps: ContextVar[Iterator[int]] = ContextVar("steps")


class Sandbox(ImmutableSandboxedEnvironment):
    """A sandboxed environment that limits loops, texts and numbers."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters |= {"_counted": _counted, "_short": _short, "join": _join, "replace": _replace}
        for name in ("center", "indent", "format", "wordwrap", "batch", "slice"):
            self.filters[name] = _with_small_numbers(name, self.filters[name])
        del self.globals["lipsum"]

    def fill(self, template: Template, values: Mapping[str, Any]) -> str:
        """Return the template's text with these values.

        Raises:
            SecurityError: it exceeds a limit.
        """
        reset = _steps.set(count(1))
        try:
            text = StringIO()
            for piece in template.generate(values):
                text.write(piece)
                _check_length(text.tell())
            return text.getvalue()
        finally:
            _steps.reset(reset)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Evaluate the operation, unless its result could be huge."""
        if operator == "**":
            _small("**", right)
        elif operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if isinstance(sequence, _SEQUENCES) and isinstance(times, int):
                    _small("*", times)
                    _check_length(len(sequence) * times)
        elif operator == "%" and isinstance(left, str):
            _small("%", *_digits(left))
        result = super().call_binop(context, operator, left, right)
        return _short(result) if isinstance(result, _SEQUENCES) else result

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = _Bounds().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return cast(nodes.Template, tree)


class _Bounds(NodeTransformer):
    """Passes the items of loops and the results of ``~`` through our filters."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja's name
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - jinja's name
        self.generic_visit(node)
        return nodes.Filter(node, "_short", [], [], None, None, lineno=node.lineno)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of a loop and count its iterations."""
    for item in items:
        if next(_steps.get()) > MAX_STEPS:
            raise SecurityError(f"its loops have more than {MAX_STEPS:,} iterations")
        yield item


def _short(made: T) -> T:
    _check_length(len(made))
    return made


def _check_length(length: int) -> None:
    if length > MAX_CHARACTERS:
        raise SecurityError(f"it has more than {MAX_CHARACTERS:,} characters")


@pass_eval_context
def _join(context: EvalContext, items: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    items = list(items)
    _check_length(sum(len(str(item)) + len(d) for item in items))
    return cast(str, do_join(context, items, d, attribute))


@pass_eval_context
def _replace(context: EvalContext, text: str, old: str, new: str, count: int | None = None) -> str:
    _check_length(len(str(text)) + str(text).count(str(old)) * len(str(new)))
    return do_replace(context, text, old, new, count)


def _with_small_numbers(name: str, filtered: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filtered)  # it also copies jinja's attributes, such as pass_environment
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
        raise SecurityError(f"{name!r} takes no number above 1,000")
