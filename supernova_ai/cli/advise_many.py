"""``supernova advise --bars FOLDER``: advice on each file of bars, as a ranked table."""

from __future__ import annotations

from pathlib import Path

import typer

from supernova_ai.advisor.advise_many import advise_many
from supernova_ai.advisor.options import AdviceOptions
from supernova_ai.advisor.position import Position
from supernova_ai.cli.options import console, print_json
from supernova_ai.cli.position_options import positions_of
from supernova_ai.errors import InvalidRequest
from supernova_ai.terminal.output import Terminal
from supernova_ai.terminal.ranked_table import ranked_page


def advise_folder(
    folder: Path,
    options: AdviceOptions,
    *,
    parallel: int,
    weights: dict[str, float],
    position: Position,
    json: bool,
) -> None:
    """Advise on each CSV file of a folder, whose name without .csv is the symbol, and print the table.

    Exits with 2 if there is no advice on any file.

    Raises:
        InvalidRequest: the folder has no CSV file, or a weight is wrong.
        BadParameter: the position has a part that is of one symbol.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.csv"))}
    if not files:
        raise InvalidRequest(f"{folder} has no file that ends with .csv: give a folder of bars")
    positions = positions_of(files, weights, position)
    with Terminal(stderr=True).progress("Advising", len(files)) as advance:
        ranked = advise_many(
            files,
            parallel=parallel,
            positions=positions,
            on_advice=lambda _: advance(),
            **options,
        )
    if json:
        print_json(ranked.to_dict())
    else:
        console.print(ranked_page(ranked))
    if not any(row.advice for row in ranked.rows):
        raise typer.Exit(2)
