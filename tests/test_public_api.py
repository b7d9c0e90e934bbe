"""The public API: every type that it names can be imported, and every option explains itself."""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pkgutil import iter_modules
from types import FunctionType, ModuleType
from typing import Any, ForwardRef, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

import supernova_ai
from supernova_ai import (
    AdviceManyOptions,
    AdviceOptions,
    AnalyzeOptions,
    ChatOptions,
    EmbedOptions,
    Fact,
    RequestOptions,
    Sentence,
    Signal,
    Stream,
    StreamOptions,
    Supernova,
    SupernovaSync,
    TextOptions,
    config,
)

PUBLIC = {name: getattr(supernova_ai, name) for name in supernova_ai.__all__}

OPTIONS = (
    *(AdviceManyOptions, AdviceOptions, AnalyzeOptions, ChatOptions, EmbedOptions, RequestOptions),
    *(StreamOptions, TextOptions),
)

FOR_OUR_OWN_ROOMS = (
    Stream.__init__,
    Supernova.store,
    Supernova.template,
    Supernova.vault,
    SupernovaSync.store,
    SupernovaSync.template,
    SupernovaSync.vault,
)
"""Callers have no use for these, and docs/python.md does not name them."""

FOR_READING = (Fact, Sentence, Signal)
"""Callers read the fields of these, and never write down the aliases of their types."""


def signatures(thing: Any) -> Iterator[Callable[..., object]]:
    """Yield what has annotations: a function; a class, its properties and, unless it is data, its methods."""
    if isinstance(thing, FunctionType):
        yield thing
    elif inspect.isclass(thing):
        yield thing
        is_data = is_dataclass(thing) or issubclass(thing, tuple | dict)
        for name, member in vars(thing).items():
            if isinstance(member, property):
                yield typing.cast(Callable[..., object], member.fget)
            elif isinstance(member, FunctionType) and not is_data and (name[0] != "_" or name == "__init__"):
                yield member


SIGNATURES = [
    signature
    for thing in PUBLIC.values()
    if not (
        inspect.isclass(thing) and issubclass(thing, BaseModel)
    )  # the configuration has a test of its own
    for signature in signatures(thing)
    if signature not in FOR_OUR_OWN_ROOMS
]


def classes(hint: object) -> Iterator[type]:
    """Yield the classes of this package in a type."""
    if isinstance(hint, type) and hint.__module__.startswith("supernova_ai"):
        yield hint
    for part in hint if isinstance(hint, list) else (get_origin(hint), *get_args(hint)):
        if part is not None:
            yield from classes(part)


def aliases(signature: Any) -> Iterator[tuple[str, object]]:
    """Yield the names in the annotations that are no classes, and what they stand for."""
    names = vars(sys.modules[signature.__module__])
    for annotation in inspect.get_annotations(signature).values():
        text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name) and node.id not in vars(typing):
                value = names.get(node.id)
                if value is not None and not isinstance(value, type | ModuleType):
                    yield node.id, value


def test_every_type_of_a_signature_is_exported() -> None:
    """Whoever calls a function or reads a result can import each type that it names from the package."""
    missing: set[tuple[str, str]] = set()
    for signature in SIGNATURES:
        hints = get_type_hints(signature).values()
        named: list[tuple[str, object]] = [(kind.__name__, kind) for hint in hints for kind in classes(hint)]
        named += aliases(signature) if signature not in FOR_READING else ()
        missing |= {(signature.__qualname__, name) for name, kind in named if PUBLIC.get(name) is not kind}
    assert missing == set()
    assert {"chat", "Supernova.chat", "Stream.reply", "Reply", "AdviceOptions"} <= {
        signature.__qualname__ for signature in SIGNATURES
    }


def test_every_section_of_the_configuration_is_exported() -> None:
    """The classes of the fields of ``Config`` can be imported from ``supernova_ai.config``."""
    seen: set[type] = set()

    def walk(kind: type) -> None:
        seen.add(kind)
        for hint in get_type_hints(kind).values():
            for part in set(classes(hint)) - seen:
                walk(part)

    walk(config.Config)
    assert len(seen) > 10
    assert {kind.__name__ for kind in seen} <= set(config.__all__)


def test_no_module_hides_a_public_name() -> None:
    """No module has the name of a public function: once imported, it would take the function's place."""
    assert {module.name for module in iter_modules(supernova_ai.__path__)} & set(
        supernova_ai.__all__
    ) == set()


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_says_what_it_means(options: type) -> None:
    """Below each field of a TypedDict stands a text, which editors show where the option is used."""
    (definition,) = ast.parse(inspect.getsource(options)).body
    assert isinstance(definition, ast.ClassDef)
    fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
    for field in fields:
        text = definition.body[definition.body.index(field) + 1]
        assert isinstance(text, ast.Expr)
        assert ast.literal_eval(text.value).strip().endswith(".")
