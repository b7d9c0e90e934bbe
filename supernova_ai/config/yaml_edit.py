"""Change one setting in a YAML text. Every other byte stays as it is: comments, quotes, line ends.

The new text is parsed again, and must mean the same as before but for that setting. What cannot be changed
so is refused, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from supernova_ai.config.fields import nearest
from supernova_ai.config.nodes import Loc, compose, parse, to_plain
from supernova_ai.errors import ConfigError, InvalidRequest

_STEP = re.compile(r'"([^"]+)"|([^."\s]+)')
_INDENT = 2


def set_value(text: str, path: Path, key: str, value: str) -> str:
    """Return the text with one setting changed, or added in its section.

    Args:
        text: the YAML.
        path: its file, for messages.
        key: dotted, such as ``routing.retries``; an item of a list is its ``name`` or its number from 0, as
            in ``budgets.daily.limit``. Put a new name that has a dot into double quotes.
        value: YAML in one line.

    Raises:
        InvalidRequest: the key or the value is not usable.
        ConfigError: the text is not YAML, or has a form in which this setting cannot be changed alone.
    """
    steps = _steps(key)
    new = _value(value)
    root = compose(text, path)
    before, faults = parse(text, path)
    loc, rest = _locate(root, steps, key)
    expected = _meaning(to_plain(before), loc, rest, new)
    for changed in _candidates(text, root, loc, rest, _without_comment(value), new):
        try:
            after, problems = parse(changed, path)
        except ConfigError:
            continue
        if repr(to_plain(after)) == repr(expected) and len(problems) <= len(faults):
            return changed
    raise ConfigError(f"{path}: {key} cannot be changed alone, because {_obstacle(root, loc)}")


def has_value(text: str, path: Path, key: str) -> bool:
    """Say whether the text sets this setting; otherwise as ``set_value``."""
    try:
        return not _locate(compose(text, path), _steps(key), key)[1]
    except InvalidRequest:
        return False


def _steps(key: str) -> list[str]:
    steps = [quoted or plain for quoted, plain in _STEP.findall(key)]
    if not steps or ".".join(steps) != key.replace('"', ""):
        raise InvalidRequest(f"{key!r} is not a setting: write it as routing.retries or budgets.daily.limit")
    return steps


def _value(text: str) -> Any:
    if len(text.splitlines()) > 1:
        raise InvalidRequest("the value has more than one line: write it in one, such as [a, b] or {a: 1}")
    try:
        node, problems = parse(f"value: {text}", Path("VALUE"))
    except ConfigError as error:
        raise InvalidRequest(f"the value is not YAML: {error}. Put text into quotes") from None
    if problems:
        raise InvalidRequest(problems[0].removeprefix("VALUE:1: "))
    return to_plain(node)["value"]


def _without_comment(value: str) -> str:
    root = compose(f"- {value}", Path("VALUE"))
    assert isinstance(root, yaml.SequenceNode)
    return f"- {value}"[root.value[0].start_mark.index : root.value[0].end_mark.index]


def _locate(root: yaml.Node | None, steps: Sequence[str], key: str) -> tuple[Loc, list[str]]:
    """Return how far the key leads in the tree, and the names that are missing there."""
    loc: list[str | int] = []
    node: yaml.Node | None = root
    rest = list(steps)
    while rest:
        if isinstance(node, yaml.MappingNode):
            known = {str(key_node.value): value for key_node, value in node.value}
            # The longest name first: names of models have dots.
            width = next((n for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in known), 0)
            if not width:
                break
            name = ".".join(rest[:width])
            loc.append(name)
            node, rest = known[name], rest[width:]
        elif isinstance(node, yaml.SequenceNode):
            number = _item(node, rest[0], key)
            loc.append(number)
            node, rest = node.value[number], rest[1:]
        elif node is None or _is_null(node):
            break
        else:
            at = ".".join(map(str, loc))
            raise InvalidRequest(f"{key}: {at} is a single value here, so it has no {rest[0]!r}")
    return tuple(loc), rest


def _item(node: yaml.SequenceNode, step: str, key: str) -> int:
    names = [
        next((str(value.value) for name, value in item.value if name.value == "name"), "")
        if isinstance(item, yaml.MappingNode)
        else ""
        for item in node.value
    ]
    if step in names:
        return names.index(step)
    if step.isdecimal() and int(step) < len(names):
        return int(step)
    known = [name for name in names if name]
    has = f"it has {', '.join(known)}" if known else f"it has {len(names)} items"
    raise InvalidRequest(f"{key}: the list has no item {step!r}; {has}.{nearest(step, known)}")


def _meaning(before: Any, loc: Loc, rest: Sequence[str], new: Any) -> Any:
    for name in reversed(rest):
        new = {name: new}
    if not loc:
        return {**(before or {}), **new}
    after = deepcopy(before)
    parent = after
    for step in loc[:-1]:
        parent = parent[step]
    old = parent[loc[-1]]
    parent[loc[-1]] = {**old, **new} if rest and isinstance(old, dict) else new
    return after


def _candidates(
    text: str, root: yaml.Node | None, loc: Loc, rest: Sequence[str], value: str, new: Any
) -> Iterator[str]:
    """Yield texts that may be what is wanted, the most natural first."""
    node = _at(root, loc)
    written = [value, _flow(new)]
    if not rest:
        assert node is not None
        if isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') and isinstance(new, str):
            written.insert(0, _quoted(new, str(node.style)))
        yield from (_replaced(text, node, one) for one in written if _is_inline(text, node))
        return
    names = [list(rest), [json.dumps(step, ensure_ascii=False) for step in rest]]
    for keys, one in product(names, written):
        if node is None or (isinstance(node, yaml.MappingNode) and not node.flow_style):
            yield _line_added(text, node, keys, one)
        elif isinstance(node, yaml.MappingNode):
            pair = _nested(keys, one)
            end = node.value[-1][1].end_mark.index if node.value else node.start_mark.index + 1
            yield _spliced(text, end, end, f", {pair}" if node.value else pair)
        elif node.start_mark.index == node.end_mark.index:  # a section without a setting
            yield _section_filled(text, root, loc, keys, one)
        else:
            yield _replaced(text, node, "{" + _nested(keys, one) + "}")


def _at(root: yaml.Node | None, loc: Loc) -> yaml.Node | None:
    node: Any = root
    for step in loc:
        node = (
            node.value[step]
            if isinstance(step, int)
            else next(value for name, value in node.value if name.value == step)
        )
    return None if node is None or (not loc and _is_null(node)) else node


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _is_inline(text: str, node: yaml.Node) -> bool:
    """Say whether the node's marks enclose it alone: no block of lines, no anchor or tag."""
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    folded = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return not (block or folded or text[node.start_mark.index : node.start_mark.index + 1] in ("&", "!"))


def _obstacle(root: yaml.Node | None, loc: Loc) -> str:
    node = _at(root, loc)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        return "its value takes several lines: change a setting below it, or edit the file"
    return "of how it is written (a text of several lines, an anchor or a tag): edit the file"


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, width=2**31, allow_unicode=True, sort_keys=False)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _quoted(value: str, style: str) -> str:
    return json.dumps(value, ensure_ascii=False) if style == '"' else "'" + value.replace("'", "''") + "'"


def _nested(keys: Sequence[str], value: str) -> str:
    *outer, last = keys
    return "".join(f"{key}: {{" for key in outer) + f"{last}: {value}" + "}" * len(outer)


def _spliced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _replaced(text: str, node: yaml.Node, new: str) -> str:
    start, end = node.start_mark.index, node.end_mark.index
    return _spliced(text, start, end, f" {new}" if start == end else new)


def _line_added(text: str, section: yaml.Node | None, keys: Sequence[str], value: str) -> str:
    """Add the setting below the last one of the section."""
    if section is None:
        newline = _newline(text)
        gap = newline if text.strip("\ufeff") and not text.endswith(("\n", "\r")) else ""
        return text + gap + _lines(keys, value, 0, newline) + newline
    first = section.value[0][0]
    return _inserted(text, _end(text, section), keys, value, first.start_mark.column)


def _section_filled(text: str, root: yaml.Node | None, loc: Loc, keys: Sequence[str], value: str) -> str:
    """Add the setting below the name of a section that has none."""
    parent = _at(root, loc[:-1])
    assert isinstance(parent, yaml.MappingNode)
    name = next(name for name, _ in parent.value if name.value == loc[-1])
    return _inserted(text, name.end_mark.index, keys, value, name.start_mark.column + _INDENT)


def _inserted(text: str, after: int, keys: Sequence[str], value: str, column: int) -> str:
    """Insert the setting as lines of its own below the line of that place."""
    line_end = re.compile(r"\r?\n|\r|\Z").search(text, after)
    assert line_end is not None
    newline = line_end.group() or _newline(text)
    new = newline + _lines(keys, value, column, newline)
    return _spliced(text, line_end.start(), line_end.start(), new)


def _lines(keys: Sequence[str], value: str, column: int, newline: str) -> str:
    *outer, last = keys
    indents = [" " * (column + _INDENT * depth) for depth in range(len(keys))]
    sections = [f"{indent}{key}:" for indent, key in zip(indents, outer, strict=False)]
    return newline.join([*sections, f"{indents[-1]}{last}: {value}"])


def _end(text: str, node: yaml.Node) -> int:
    """Return where the node's text ends: the mark of a block is behind the blank lines that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return len(text[: node.end_mark.index].rstrip())


def _newline(text: str) -> str:
    found = re.search(r"\r?\n|\r", text)
    return found.group() if found else "\n"
