"""Call every public function, client method and command once, and print how each ended, as JSON.

Run as a program by ``test_environments``, in an environment that is broken in one way or another. The
configuration comes from SUPERNOVA_CONFIG; arguments name what is broken from inside the process.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

VALUES: dict[str, Any] = {
    "message": "What now?",
    "content": "Profit rose.",
    "texts": ["Profit rose."],
    "query": "Did profit rise?",
    "documents": ["Profit rose."],
    "prompt": "chat",
    "values": {"message": "What now?"},
    "session_id": "1",
    "request_id": "1",
    "score": "up",
    "symbol": "AAPL",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "name": "chat",
    "cost": "1",
    "columns": "cost=cost,id=id",
    "bars": "bars.csv",
    "file": "bars.csv",
    "out": "out",
    "template": "chat",
}
"""What parameters of these names are given; commands get "1" for any other that they require."""

_LONG = ("dashboard", "demo", "run", "serve", "watch")
"""Commands that run a model on this machine, or until they are stopped."""


def no_home() -> None:
    """Make the system know nothing of this user, as in a container that runs under an arbitrary uid."""
    import pwd

    def getpwuid(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = getpwuid


def litellm_first() -> None:
    """Import LiteLLM as another program would, and let its price map be one that no budget bears."""
    import litellm

    for entry in litellm.model_cost.values():
        entry["input_cost_per_token"] = 1.0


def ended(call: Callable[[], Any]) -> str:
    """Return "ok", the name and the words of an error of ours, or "RAW …" for any other."""
    from supernova_ai import SupernovaError

    try:
        call()
    except SupernovaError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"RAW {type(error).__module__}.{type(error).__name__}: {error}"
    return "ok"


def functions() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every public function, and every method of a client."""
    import supernova_ai
    from supernova_ai import Supernova
    from supernova_ai.advisor.bars import load_csv

    for name in supernova_ai.__all__:
        if inspect.isfunction(function := getattr(supernova_ai, name)):
            if "advise_many" in name:
                function = partial(function, {"AAPL": load_csv("bars.csv")})
            elif "advise" in name or name == "backtest":
                function = partial(function, load_csv("bars.csv"), symbol="AAPL")
            elif name == "save_chart":
                result = supernova_ai.backtest(load_csv("bars.csv"), symbol="AAPL", draws=20)
                function = partial(function, result, "chart.svg")
            yield name, partial(use, function)
    yield "Supernova", Supernova
    if ended(Supernova) != "ok":
        return
    nova = Supernova()
    names = [name for name in dir(Supernova) if not name.startswith("_")]
    for name in sorted(names, key=lambda name: name == "close"):  # last of all
        if callable(method := getattr(nova, name)):
            yield f"Supernova.{name}", partial(use, method)


def value(name: str) -> Any:
    """Return what a parameter of that name is given."""
    from supernova_ai import config

    return config.load().config if name == "config" else VALUES[name]


def price(symbol: str) -> float:
    """Return the price of a share."""
    return 136.36


def use(function: Callable[..., Any]) -> None:
    """Call the function with what it requires; await what it returns, or read a stream to its end."""
    parameters = list(inspect.signature(function).parameters.values())
    wanted = (
        p
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD and (p.default is p.empty or p.name == "message")
    )
    tools = {"tools": [price]} if "max_rounds" in {p.name for p in parameters} else {}
    result = function(*[value(parameter.name) for parameter in wanted], **tools)

    async def read() -> None:
        async with result as pieces:
            async for _ in pieces:
                pass

    if inspect.iscoroutine(result):
        asyncio.run(result)
    elif hasattr(result, "__aiter__"):
        asyncio.run(read())


def commands() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield every command with what it requires, and what running it gives."""
    from typer.main import get_command

    from supernova_ai.cli.app import app

    def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        subcommands = getattr(command, "commands", {})
        for word in subcommands:
            if word not in _LONG:
                yield from leaves(subcommands[word], (*words, word))
        if not subcommands or command.invoke_without_command:
            given = []
            for parameter in command.params:
                if parameter.required:
                    value = VALUES.get(parameter.name, "1")
                    is_option = parameter.param_type_name == "option"
                    given += [parameter.opts[0], value] if is_option else [value]
            yield (*words, *given)

    for words in leaves(get_command(app)):
        yield " ".join(words), partial(run, words)


def run(words: tuple[str, ...]) -> str:
    """Run the command; return its exit code and the end of what it said on standard error."""
    from supernova_ai.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    sys.argv = ["supernova", *words]
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        return f"RAW {type(error).__module__}.{type(error).__name__}: {error}"
    else:
        code = 0
    said = err.buffer.getvalue().decode()[-300:]
    return f"RAW {said}" if "Traceback" in said else f"{code} {said}".strip()


def main() -> None:
    os.chdir(Path(os.environ["SUPERNOVA_CONFIG"]).parent)
    for name in sys.argv[1:]:
        globals()[name]()
    found = {name: ended(call) for name, call in functions()}
    found |= {f"supernova {name}": call() for name, call in commands()}
    sys.__stdout__.write(json.dumps(found))  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
