"""The library: the built-in templates, and the user's own over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from supernova_ai.config.problems import config_error
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import header
from supernova_ai.prompts.files import Part, merge, read
from supernova_ai.prompts.template import Template

_BUILT_IN = Path(__file__).with_name("templates")


class Library:
    """The templates by name. It never changes; make a new one to read the files again.

    A wrong file stops only what uses it: ``get`` of its name fails, and ``check`` lists the problems of all.

    Args:
        folders: where the user's own are, the strongest first; one that does not exist is empty. A file there
            stands in for a built-in one of the same name, wherever that is used. An empty file is none.
    """

    __slots__ = ("_found",)

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        own = tuple(folder for folder in folders if any(folder.glob("*.md")))
        self._found = _load((*own, _BUILT_IN)) if own else _built_in()

    def get(self, name: str) -> Template:
        """Return the template of that name.

        Raises:
            InvalidRequest: there is none; the message lists those there are.
            ConfigError: its file is wrong; the message lists the problems with file and line.
        """
        if name not in self._found:
            raise InvalidRequest(f"there is no prompt {name!r}; choose one of: {', '.join(self.names())}")
        found = self._found[name]
        if isinstance(found, Template):
            return found
        raise config_error(list(found), f"the prompt {name!r}")

    def names(self) -> tuple[str, ...]:
        """Return the names of all templates, in order; those of wrong files too."""
        return tuple(self._found)

    def usable(self) -> list[Template]:
        """Return the templates whose files are right, in order."""
        return [found for found in self._found.values() if isinstance(found, Template)]

    def problems(self) -> list[str]:
        """Return what is wrong with the files, with file and line; each problem once."""
        wrong = [found for found in self._found.values() if not isinstance(found, Template)]
        return list(dict.fromkeys(problem for found in wrong for problem in found))

    def check(self) -> None:
        """Refuse wrong files.

        Raises:
            ConfigError: files are wrong; the message lists the problems.
        """
        if problems := self.problems():
            raise config_error(problems, "the prompts")


@cache
def _built_in() -> Mapping[str, Template | tuple[str, ...]]:
    return _load((_BUILT_IN,))


def _load(folders: Sequence[Path]) -> Mapping[str, Template | tuple[str, ...]]:
    """Return each name's template, or what is wrong with its file or one that it extends."""
    files: dict[str, list[Part | str]] = {}  # of each name, the strongest first
    for folder in folders:
        for path in sorted(folder.glob("*.md")):
            try:
                if (
                    path.stat().st_size
                ):  # a shell empties the file of `prompts show X > X.md` before X is read
                    files.setdefault(path.stem, []).append(read(path))
            except (ConfigError, OSError) as error:
                files.setdefault(path.stem, []).append(str(error))
    found: dict[str, Template | tuple[str, ...]] = {}
    for name in sorted(files):
        if name.startswith("_"):
            continue  # only there to be extended
        problems: list[str] = []
        template = None
        try:
            part = _whole(name, files)
            source = "built-in" if part.path.parent == _BUILT_IN else str(part.path)
            template = header.build(name, part, source=source, problems=problems)
        except ConfigError as error:
            problems.append(str(error))
        found[name] = template or tuple(problems)
    return MappingProxyType(found)


def _whole(
    name: str, files: Mapping[str, Sequence[Part | str]], rank: int = 0, under: tuple[Part, ...] = ()
) -> Part:
    """Return the file of that name, laid over what it extends; its own name means the next weaker one."""
    part = files[name][rank]
    if isinstance(part, str):
        raise ConfigError(part)
    extends = part.header.value.get("extends")
    if extends is None:
        return part
    base, origin = extends.value, extends.origin
    below = rank + 1 if base == name else 0
    if not isinstance(base, str) or below >= len(files.get(base, ())):
        raise ConfigError(f"{origin}: extends is {base!r}: there is no such template to extend")
    if part in under:
        raise ConfigError(f"{origin}: extends is {base!r}, which extends this in turn")
    return merge(_whole(base, files, below, (*under, part)), part)
