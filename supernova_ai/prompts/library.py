"""The library: the built-in templates, and the user's own over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import header
from supernova_ai.prompts.files import Part, merge, read
from supernova_ai.prompts.template import Template

_BUILT_IN = Path(__file__).with_name("templates")


class Library:
    """The templates by name. It never changes; make a new one to read the files again.

    Args:
        folders: where the user's own are, the strongest first; one that does not exist is empty. A file there
            stands in for a built-in one of the same name, wherever that is used.

    Raises:
        ConfigError: files are wrong; the message lists every problem with file and line.
    """

    __slots__ = ("_templates",)

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        own = tuple(folder for folder in folders if any(folder.glob("*.md")))
        self._templates = _load((*own, _BUILT_IN)) if own else _built_in()

    def get(self, name: str) -> Template:
        """Return the template of that name.

        Raises:
            InvalidRequest: there is none; the message lists those there are.
        """
        if name not in self._templates:
            raise InvalidRequest(f"there is no prompt {name!r}; choose one of: {', '.join(self.names())}")
        return self._templates[name]

    def names(self) -> tuple[str, ...]:
        """Return the names of all templates, in order."""
        return tuple(self._templates)


@cache
def _built_in() -> Mapping[str, Template]:
    return _load((_BUILT_IN,))


def _load(folders: Sequence[Path]) -> Mapping[str, Template]:
    problems: list[str] = []
    files: dict[str, list[Part]] = {}  # of each name, the strongest first
    for folder in folders:
        for path in sorted(folder.glob("*.md")):
            try:
                part = read(path)
            except ConfigError as error:
                problems.append(str(error))
            else:
                files.setdefault(path.stem, []).append(part)
    templates: dict[str, Template] = {}
    for name in sorted(files):
        if name.startswith("_"):
            continue  # only there to be extended
        try:
            part = _whole(name, files)
        except ConfigError as error:
            problems.append(str(error))
            continue
        source = "built-in" if part.path.parent == _BUILT_IN else str(part.path)
        if template := header.build(name, part, source=source, problems=problems):
            templates[name] = template
    if problems:
        listed = list(dict.fromkeys(problems))  # one of a base is found in all that extend it
        count = "1 problem" if len(listed) == 1 else f"{len(listed)} problems"
        raise ConfigError("\n  ".join([f"the prompts cannot be used, {count}:", *listed]))
    return MappingProxyType(templates)


def _whole(
    name: str, files: Mapping[str, Sequence[Part]], rank: int = 0, under: tuple[Part, ...] = ()
) -> Part:
    """Return the file of that name, laid over what it extends; its own name means the next weaker one."""
    part = files[name][rank]
    extends = part.header.value.get("extends")
    if extends is None:
        return part
    base, place = extends.value, extends.place
    below = rank + 1 if base == name else 0
    if not isinstance(base, str) or below >= len(files.get(base, ())):
        raise ConfigError(f"{place}: extends is {base!r}: there is no such template to extend")
    if part in under:
        raise ConfigError(f"{place}: extends is {base!r}, which extends this in turn")
    return merge(_whole(base, files, below, (*under, part)), part)
