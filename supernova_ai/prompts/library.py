"""The library: the built-in templates, and the user's templates that replace or extend them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

from supernova_ai.config.problems import config_error
from supernova_ai.errors import ConfigError, InvalidRequest
from supernova_ai.prompts import header
from supernova_ai.prompts.files import TemplateFile, merge, read
from supernova_ai.prompts.template import Template

_BUILT_IN = Path(__file__).with_name("templates")


class Library:
    """The templates by name. A library is immutable; create a new one to read the files again.

    A wrong file affects only its users: ``get`` of its name fails, and ``check`` lists the problems of all.

    Args:
        folders: the folders of the user's templates, strongest first; they may not exist. A file there
            replaces the built-in one of the same name. Empty files are ignored.
    """

    __slots__ = ("_found",)

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        own = tuple(folder for folder in folders if any(folder.glob("*.md")))
        self._found = _load((*own, _BUILT_IN)) if own else _built_in()

    def get(self, name: str) -> Template:
        """Return the template of that name.

        Raises:
            InvalidRequest: there is none; the message lists all names.
            ConfigError: its file is wrong; the message lists the problems with file and line.
        """
        if name not in self._found:
            raise InvalidRequest(f"there is no prompt {name!r}; choose one of: {', '.join(self.names())}")
        found = self._found[name]
        if isinstance(found, Template):
            return found
        raise config_error(list(found), f"the prompt {name!r}")

    def names(self) -> tuple[str, ...]:
        """Return the sorted names of all templates, including those of wrong files."""
        return tuple(self._found)

    def usable(self) -> list[Template]:
        """Return the templates whose files are valid, sorted by name."""
        return [found for found in self._found.values() if isinstance(found, Template)]

    def problems(self) -> list[str]:
        """Return the problems of all files, with file and line, without duplicates."""
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
    """Return each name's template, or the problems of its file and of the files it extends."""
    files: dict[str, list[TemplateFile | str]] = {}  # by name, the strongest first
    for folder in folders:
        for path in sorted(folder.glob("*.md")):
            try:
                # Not if empty: the shell empties X.md for `prompts show X > X.md` before X is read.
                if path.stat().st_size:
                    files.setdefault(path.stem, []).append(read(path))
            except (ConfigError, OSError) as error:
                files.setdefault(path.stem, []).append(str(error))
    found: dict[str, Template | tuple[str, ...]] = {}
    for name in sorted(files):
        if name.startswith("_"):
            continue  # a shared part, to be extended
        problems: list[str] = []
        template = None
        try:
            file = _merged(name, files)
            source = "built-in" if file.path.parent == _BUILT_IN else str(file.path)
            template = header.build(name, file, source=source, problems=problems)
        except ConfigError as error:
            problems.append(str(error))
        found[name] = template or tuple(problems)
    return MappingProxyType(found)


def _merged(
    name: str,
    files: Mapping[str, Sequence[TemplateFile | str]],
    rank: int = 0,
    extended_by: tuple[TemplateFile, ...] = (),
) -> TemplateFile:
    """Return the file of that name merged over the one it extends; its own name means the next weaker one."""
    file = files[name][rank]
    if isinstance(file, str):
        raise ConfigError(file)
    extends = file.header.value.get("extends")
    if extends is None:
        return file
    base, origin = extends.value, extends.origin
    below = rank + 1 if base == name else 0
    if not isinstance(base, str) or below >= len(files.get(base, ())):
        raise ConfigError(f"{origin}: extends is {base!r}: there is no such template to extend")
    if file in extended_by:
        raise ConfigError(f"{origin}: extends is {base!r}, which extends this file in turn")
    return merge(_merged(base, files, below, (*extended_by, file)), file)
