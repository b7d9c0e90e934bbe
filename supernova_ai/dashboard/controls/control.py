"""What a control is: data that says who may use it, what it asks, what it will do, and what it does.

A new control is a ``Control`` in ``controls.CONTROLS``. Its functions run in a process of its own; see
``perform``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.fields import Field

if TYPE_CHECKING:
    from supernova_ai.dashboard.controls.task import Task


@dataclass(frozen=True, slots=True)
class Done:
    """What a control did, line by line, and the text that it is about; not ``ok`` if it was in vain."""

    lines: Sequence[str]
    text: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a control will do, line by line, and the function that does it.

    It is done only if the lines are still those that the user has confirmed; ``notes`` may differ.
    """

    lines: Sequence[str]
    do: Callable[[], Done]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """A control at ``/control/<name>``, for users of this role.

    Args:
        button: what the button that does it says.
        about: what it is for, in a sentence.
        page: the page that its links are on, which it leads back to.
        fields: returns what it asks.
        plan: returns what it will do; it changes nothing.
        asks: the plan is shown first, and is to be confirmed. Otherwise a field of the form confirms.
        lasts: it may take minutes: others do not wait for it.
        off: returns why the configuration does not allow it, "" if it does.
    """

    name: str
    title: str
    button: str
    about: str
    role: Role
    page: str
    fields: Callable[[Task], Sequence[Field]]
    plan: Callable[[Task], Plan]
    asks: bool = True
    lasts: bool = False
    off: Callable[[Config], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Call:
    """What a user sent to a control, and how far it is to go.

    A ``link`` leads to the form with some fields filled in; or to the plan, if nothing is left to fill in.
    ``shown`` are the lines of the plan that the user has confirmed.
    """

    control: str
    user: str
    step: Literal["link", "form", "plan", "do"]
    values: Mapping[str, str] = field(repr=False)
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a control answers: its form, and beside it a problem or its plan; or what it did.

    ``values`` are what the plan is for.
    """

    fields: tuple[Field, ...] = ()
    problem: str = ""
    plan: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    done: Done | None = None
