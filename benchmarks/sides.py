"""Processes that answer lines, and rounds in which all sides of a comparison take turns."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Side:
    """A process that runs a function of the benchmarks, and answers each line that is sent to it.

    LiteLLM keeps state in module globals, so two sides must not share a process.

    Args:
        function: a function at the top of a module, which may be async. It reads standard input to its end.
        arguments: what it is called with, as text.
    """

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks.sides", function.__module__, function.__name__]
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def tell(self, *words: object) -> None:
        """Send a line of these words."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")

    def hear(self) -> str:
        """Return the next line of its output; exit if the process has ended."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            sys.exit("a process of the benchmark ended; its error is above")
        return line.strip()

    def ask(self, *words: object) -> list[float]:
        """Send a line and return the figures of the answer."""
        self.tell(*words)
        return [float(figure) for figure in self.hear().split()]

    def figure(self, *words: object) -> float:
        """Send a line and return the one figure of the answer."""
        (figure,) = self.ask(*words)
        return figure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def in_turn(rounds: int, runs: Mapping[str, Callable[[], T]], *, warm_up: bool = True) -> dict[str, list[T]]:
    """Run all in each round, and begin each round with another; return what each returned, by name.

    Args:
        rounds: how many.
        runs: what to run, by name.
        warm_up: run each once before, and forget what that returned.
    """
    names, taken = list(runs), {name: list[T]() for name in runs}
    for name in names if warm_up else ():
        runs[name]()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(runs[name]())
    return taken


def _run(module: str, name: str, *arguments: str) -> None:
    result = getattr(import_module(module), name)(*arguments)
    if inspect.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    _run(*sys.argv[1:])
