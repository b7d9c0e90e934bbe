"""What a page is: parts that are read and rendered apart, and files of what they show.

A new page is a ``Page`` in ``pages.PAGES``, a template of its name, and a template for each of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from peewee import Database

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Role


@dataclass(frozen=True, slots=True)
class Reading:
    """What a part reads. ``chosen`` are the parameters of the page's address that the part takes."""

    database: Database
    config: Config
    now: datetime
    """In the time zone of the pages."""
    chosen: Mapping[str, str]

    @property
    def now_ms(self) -> int:
        """The time in Unix milliseconds."""
        return int(self.now.timestamp() * 1000)

    def one_of(self, name: str, values: Collection[str], default: str) -> str:
        """Return the chosen value of a parameter if it is one of these, else the default."""
        chosen = self.chosen.get(name, default)
        return chosen if chosen in values else default


@dataclass(frozen=True, slots=True)
class Part:
    """A section of a page, which is read again and again while the page is open.

    ``read`` returns the variables of the template ``parts/<name>.html``; it runs on a thread. ``takes`` names
    the parameters of the page's address that it uses, and ``controls`` the controls that it has links to. A
    part that changes slowly is read once in ``every_s`` seconds.
    """

    name: str
    title: str
    read: Callable[[Reading], Mapping[str, Any]]
    takes: tuple[str, ...] = ()
    every_s: float = 0
    controls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Download:
    """A CSV file at ``/<page>.csv``. ``rows`` returns the file's name, its columns and its rows."""

    rows: Callable[[Reading], tuple[str, Sequence[str], Iterable[Mapping[str, Any]]]]
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page at ``/<name>``, for users of this role. Its template places the parts.

    ``choices`` are the values of a parameter of its address, each with its name, that the heading offers. A
    browser that shows it asks for its parts once in ``every_s`` seconds.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    download: Download | None = None
    role: Role = Role.VIEWER
    choices: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    every_s: float = 5.0
