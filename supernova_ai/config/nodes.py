"""Values with their origin, so that an error can name the file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from supernova_ai.errors import ConfigError
from supernova_ai.paths import MAX_TEXT_BYTES, open_regular, reason_of

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A mapping or list of nodes, or a plain value; ``origin`` is the file and line, variable or argument."""

    value: Any
    origin: str


UNREADABLE = object()
"""The value of a node whose problem was already found while it was read."""


def from_plain(value: Any, origin: str) -> Node:
    """Wrap plain mappings, lists and values that have one origin."""
    if isinstance(value, Mapping):
        return Node({str(key): from_plain(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([from_plain(item, origin) for item in value], origin)
    return Node(value, origin)


def to_plain(node: Node) -> Any:
    """Unwrap a node and all nodes in it."""
    if isinstance(node.value, dict):
        return {key: to_plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(item) for item in node.value]
    return node.value


def merge(low: Node, high: Node) -> Node:
    """Merge ``high`` over ``low``: mappings recursively, other values are replaced."""
    if not isinstance(low.value, dict):
        return high
    if high.value is None:  # a section whose settings are all commented out changes nothing
        return low
    if not isinstance(high.value, dict):
        return high
    over = {
        key: merge(low.value[key], item) if key in low.value else item for key, item in high.value.items()
    }
    return Node(low.value | over, high.origin)


def find(node: Node, loc: Loc) -> Node | None:
    """Return the node at ``loc``, None if there is none."""
    found = list(_walk(node, loc))
    return found[-1] if len(found) == len(loc) + 1 else None


def origin_of(node: Node, loc: Loc) -> str:
    """Return the origin of the deepest existing node on the path ``loc``."""
    return list(_walk(node, loc))[-1].origin


def _walk(node: Node, loc: Loc) -> Iterator[Node]:
    yield node
    for step in loc:
        try:
            node = node.value[step]
        except (KeyError, IndexError, TypeError):
            return
        yield node


def origins(node: Node, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting's dotted name and origin; a list is one setting."""
    if isinstance(node.value, dict) and node.value:
        for key, item in node.value.items():
            yield from origins(item, f"{at}.{key}" if at else key)
    else:
        yield at, node.origin


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open_regular(path, MAX_TEXT_BYTES) as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_yaml(path: Path, content: bytes) -> tuple[Node, list[str]]:
    """Return the content of a YAML file as nodes with their lines, and the problems of single lines.

    Raises:
        ConfigError: it is not UTF-8, not YAML, or not a mapping.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from error
    node, problems = parse(text, path)
    if not isinstance(node.value, dict):
        raise ConfigError(f"{path}:1: the file must be a mapping of settings, such as 'streaming: true'")
    return node, problems


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {reason_of(error)}. It must be a readable UTF-8 file.")


def parse(text: str, path: Path) -> tuple[Node, list[str]]:
    """Parse the YAML text of a file; otherwise as ``read_yaml``.

    Raises:
        ConfigError: it is not YAML.
    """
    problems: list[str] = []
    with _syntax_errors(path):
        loader = _Loader(text)
        root = loader.get_single_node()
        node = Node({}, str(path)) if root is None else _convert(loader, root, path, f"{path}:1", problems)
    return (Node({}, str(path)) if node.value is None else node), problems


def compose(text: str, path: Path) -> yaml.Node | None:
    """Return PyYAML's node of the text, with the place of each value; None if it is empty.

    Raises:
        ConfigError: it is not YAML.
    """
    with _syntax_errors(path):
        node: yaml.Node | None = _Loader(text).get_single_node()
    return node


@contextmanager
def _syntax_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(_syntax(path, error)) from None
    except RecursionError:
        raise ConfigError(f"{path} is nested deeper than any setting: remove nesting") from None


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_DECIMAL = re.compile(
    r"[-+]?(?:0|[1-9][\d_]*)|[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|nan)", re.IGNORECASE
)
"""A plain decimal number; YAML reads 0100 as 64, 1:30 as 90 and 0x10 as 16."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, "aliases (*name) are not supported: write the value out", mark)
        return super().compose_node(parent, index)


def _convert(loader: _Loader, node: yaml.Node, path: Path, origin: str, problems: list[str]) -> Node:
    if isinstance(node, yaml.MappingNode):
        items: dict[str, Node] = {}
        for key, value in node.value:
            here = f"{path}:{key.start_mark.line + 1}"
            # The literal text: YAML would read a key such as `on` as true.
            name = str(key.value)
            if name in items:
                problems.append(
                    f"{here}: {name!r} appears twice in one mapping, first at {items[name].origin}: keep one"
                )
            else:
                items[name] = _convert(loader, value, path, here, problems)
        return Node(items, origin)
    if isinstance(node, yaml.SequenceNode):
        lines = [f"{path}:{item.start_mark.line + 1}" for item in node.value]
        return Node(
            [_convert(loader, i, path, line, problems) for i, line in zip(node.value, lines, strict=True)],
            origin,
        )
    if node.tag == "tag:yaml.org,2002:timestamp":  # no setting is a date, but a model name may look like one
        return Node(node.value, origin)
    if node.tag in _NUMBERS and not _DECIMAL.fullmatch(node.value):
        problems.append(
            f"{origin}: {node.value[:40]} is not a plain decimal number, and YAML would read it differently: "
            f"write decimal digits without leading zeros, or put text into quotes"
        )
        return Node(UNREADABLE, origin)
    return Node(loader.construct_object(node), origin)


def _syntax(path: Path, error: yaml.YAMLError | ValueError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    tab = r"'\t'" in reason
    remedy = "Indent with spaces, not tabs" if tab else "Check the indentation, colons and quotes just before"
    return f"{where}: not valid YAML: {reason}. {remedy}."
