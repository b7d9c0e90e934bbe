"""Options of the commands that read files of bars."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from supernova_ai.advisor.bars import Repair

RepairOption = Annotated[
    Literal["clip", "drop", "none"],
    typer.Option(
        "--repair",
        help="Wrong bars: clip what is slightly wrong, drop every wrong bar, or refuse them all.",
    ),
]
DayFirst = Annotated[
    bool | None,
    typer.Option(
        "--day-first/--month-first",
        metavar="",
        help="Whether 11/01/2019 is 11 January.",
        show_default="what the other dates show",
    ),
]
Decimal = Annotated[
    Literal[".", ","] | None,
    typer.Option("--decimal", help="The decimal mark of the numbers.", show_default="what the numbers show"),
]


def repair_of(option: Literal["clip", "drop", "none"]) -> Repair | None:
    """Return how wrong bars are mended, None for "none"."""
    return None if option == "none" else option
