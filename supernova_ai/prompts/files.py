"""Template files: a YAML header between lines of ``---``, then the text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from supernova_ai.config import nodes
from supernova_ai.config.nodes import Node
from supernova_ai.errors import ConfigError
from supernova_ai.paths import reason_of


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template file, or several merged by ``extends``.

    ``header`` is a mapping; ``body_start`` is the file and line before the body's first line. ``texts`` are
    the full texts of the merged files, its own first.
    """

    path: Path
    header: Node
    body: str
    body_start: tuple[Path, int]
    texts: tuple[str, ...]

    def origin(self, *loc: str) -> str:
        """Return the origin of a field, or of the mapping it would be in."""
        return nodes.origin_of(self.header, loc)


def read(path: Path) -> TemplateFile:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, has no header, or the header is not a mapping in YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read: {reason_of(error)}. It must be a readable UTF-8 file."
        ) from error
    lines = text.split("\n")
    ends = [number for number, line in enumerate(lines) if line.rstrip() == "---"]
    if len(ends) < 2 or ends[0] != 0:
        raise ConfigError(f"{path}:1: a template begins with a header between two lines of '---'")
    header, problems = nodes.parse("\n".join(["", *lines[1 : ends[1]]]), path)  # with the file's line numbers
    if problems:
        raise ConfigError(problems[0])
    if not isinstance(header.value, dict):
        raise ConfigError(f"{path}:2: the header must be a mapping, such as 'name: {path.stem}'")
    body, after = "\n".join(lines[ends[1] + 1 :]), ends[1] + 1
    blank = len(body) - len(body.lstrip("\n"))
    return TemplateFile(path, _expand_types(header), body.strip(), (path, after + blank), (text,))


def merge(base: TemplateFile, file: TemplateFile) -> TemplateFile:
    """Merge a file over the one it extends.

    A field replaces the base's, but variables and examples are merged; an empty body keeps the base's.
    """
    own = {name: value for name, value in file.header.value.items() if name != "extends"}
    for name in own.keys() & base.header.value.keys() & {"variables", "example"}:
        own[name] = nodes.merge(base.header.value[name], own[name])
    body = file if file.body else base
    header = Node(base.header.value | own, file.header.origin)
    return TemplateFile(file.path, header, body.body, body.body_start, (*file.texts, *base.texts))


def _expand_types(header: Node) -> Node:
    """Expand ``message: text`` to ``message: {type: text}``."""
    variables = header.value.get("variables")
    if variables is None or not isinstance(variables.value, dict):
        return header
    expanded = {
        name: Node({"type": given}, given.origin) if isinstance(given.value, str) else given
        for name, given in variables.value.items()
    }
    return Node(header.value | {"variables": Node(expanded, variables.origin)}, header.origin)
