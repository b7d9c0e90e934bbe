"""README and docs are right: examples run, lists are complete, links resolve."""

from __future__ import annotations

import ast
import asyncio
import csv
import doctest
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from supernova_ai import Embeddings, Ranking, Reply, SupernovaError, client, default_client, errors, ratings
from supernova_ai.advisor.options import AdviceOptions
from supernova_ai.cli.app import EXIT_CODES, app
from supernova_ai.keys import open_vault
from supernova_ai.requests import options
from supernova_ai.testing import StubProvider

ROOT = Path(__file__).parent.parent
FOLDERS = (".", "docs", "cassettes", "deploy")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))

WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "supernova_ai").rglob("*.py")
    if re.search(r"^ *>>> ", file.read_text(encoding="utf-8"), re.MULTILINE)
)


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", _read(page), re.MULTILINE | re.DOTALL)


def _commands(command: Any, name: str = "supernova") -> Iterator[tuple[str, Any]]:
    if subcommands := getattr(command, "commands", None):
        for word, subcommand in subcommands.items():
            yield from _commands(subcommand, f"{name} {word}")
    if not subcommands or command.invoke_without_command:
        yield name, command


COMMANDS = dict(_commands(get_command(app)))


def _options(command: Any) -> set[str]:
    names = (name for one in command.params for name in (*one.opts, *one.secondary_opts))
    return {name for name in names if name.startswith("--")}


def _arguments(command: Any) -> set[str]:
    return {p.name.upper() for p in command.params if p.param_type_name == "argument"}


def test_readme_opens_with_the_two_commands() -> None:
    """The first screen of README has the commands that run the demo and the tests."""
    lines = _read("README.md").splitlines()[:40]
    assert "    pip install uv && uv run --extra local supernova demo" in lines
    assert "    uv run pytest" in lines


@pytest.mark.proof
def test_readme_example_runs_as_written(tmp_path: Path) -> None:
    """The example with the local model runs as it is, and prints an answer, its tokens and cost."""
    (example,) = (block for block in _blocks("README.md", "python") if "LocalModel" in block)
    run = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    answer, facts = run.stdout.strip().rsplit("\n", 1)
    assert answer.strip()
    assert re.fullmatch(r"openai/smollm2, [1-9]\d* tokens, \$0", facts)


@pytest.fixture
def openai_stub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub_provider: Callable[..., StubProvider]
) -> Iterator[StubProvider]:
    """Configure the default client with the default models and budgets, and a stub as OpenAI."""
    stub = stub_provider("A promise to pay.")
    (tmp_path / "supernova.yaml").write_text(f'providers: {{openai: {{api_base: "{stub.url}/v1"}}}}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPERNOVA_CONFIG", "supernova.yaml")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setattr(default_client, "_default", None)
    yield stub
    default_client.default().close()


def _run(example: str, names: dict[str, Any]) -> None:
    """Run an example that uses ``await``, with these names defined; the names it defines are added."""
    code = compile(example, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(eval(code, names))


def test_readme_opens_with_a_chat_call_and_advice(
    openai_stub: StubProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first example of README answers, names the provider and the cost, and gives advice on bars."""
    with (ROOT / "examples" / "bars.csv").open(encoding="utf-8", newline="") as file:
        names: dict[str, Any] = {"market_data": list(csv.DictReader(file))}
    _run(_blocks("README.md", "python")[0], names)
    assert capsys.readouterr().out == f"A promise to pay. openai {names['reply'].cost}\n"
    assert openai_stub.requests[0].body["model"] == "gpt-6-luna"
    assert (names["action"], ": buy AAPL." in names["rationale"]) == ("buy", True)


def test_readme_api_example_runs_as_written(
    openai_stub: StubProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of the module-level functions runs with the default models and budgets."""
    (example,) = (block for block in _blocks("README.md", "python") if "import analyze" in block)
    names: dict[str, Any] = {"text": "Rates may rise."}
    _run(example, names)
    assert names["reply"].content == "A promise to pay."
    assert names["tokens"].reply.cost > 0
    assert capsys.readouterr().out == "A\n promise\n to\n pay.\n" + "A promise to pay."
    assert [request.body["model"] for request in openai_stub.requests] == [
        "gpt-6-luna",
        "gpt-6.1-sol",
        "gpt-6-astra",
        "gpt-6.1-sol",
    ]


def test_the_example_of_feedback_runs_as_written(
    openai_stub: StubProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example in docs/quality.md keeps the second feedback in place of the first."""
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)
    (example,) = (block for block in _blocks("docs/quality.md", "python") if "feedback" in block)
    _run(example, {})
    store = default_client.default().store()
    (found,) = ratings.latest(open_vault(store), limit=9)
    assert (found.user, found.score, found.comment) == ("ann", -0.5, "Too long.")


def test_every_command_and_option_is_documented() -> None:
    """docs/cli.md has a section for each command, with all of its arguments and options and no others."""
    sections = dict(re.findall(r"^## `(supernova .+?)`\n(.*?)(?=^## |\Z)", _read("docs/cli.md"), re.M | re.S))
    documented = {name: set(re.findall(r"^\| `(.+?)` ", text, re.M)) for name, text in sections.items()}
    assert documented == {
        name: (_options(command) | _arguments(command)) - {"--help"} for name, command in COMMANDS.items()
    }


def test_exit_codes_are_documented() -> None:
    """docs/cli.md gives each class of error the code that the command exits with."""
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", _read("docs/cli.md"), re.MULTILINE)
    documented = {(name, int(code)) for code, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert documented == {(kind.__name__, code) for kind, code in EXIT_CODES} | {("ExtraMissing", 1)}
    (readme,) = re.findall(r"^Exit codes: 0 done, (.+?)\. All options", _read("README.md"), re.MULTILINE)
    assert {part.split()[0] for part in readme.split(", ")} == {code for code, _ in rows} | {"130"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_examples_exist(page: Path) -> None:
    """Each ``supernova …`` of an indented example is a command that exists, with options that exist."""
    for line in re.findall(
        r"^    (?:.*&& )?(?:uv run )?(?:--extra \w+ )?(supernova .+)$", page.read_text(), re.M
    ):
        words = shlex.split(re.split(r" [|<#>] ?", line)[0])
        name = next(name for name in COMMANDS if words[: name.count(" ") + 1] == name.split())
        assert {word for word in words if word.startswith("--")} <= _options(COMMANDS[name]), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    """Each link to a file of the project leads to a file that exists."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_direct_dependency_has_a_reason() -> None:
    """docs/dependencies.md has a line for each direct dependency, and for no other package."""
    project = tomllib.loads(_read("pyproject.toml"))
    declared = [
        *project["project"]["dependencies"],
        *(name for names in project["project"]["optional-dependencies"].values() for name in names),
        *(name for names in project["dependency-groups"].values() for name in names),
    ]
    rows = re.findall(
        r"^\| (?:(?:charts|local|metrics|postgres|redis|serve|traces|dashboard|sso) \| )?([a-z0-9, -]+?) \|",
        _read("docs/dependencies.md"),
        re.M,
    )
    reasoned = {name for row in rows for name in row.split(", ")} - {"package", "extra", "dashboard"}
    assert reasoned == {re.split(r"[<>=!~\[ ;]", requirement)[0] for requirement in declared}


def test_python_page_is_complete() -> None:
    """docs/python.md has every method, every option of a call, every field of a reply, and every error."""
    page = _read("docs/python.md")
    table = page.partition("## What it gives")[2].partition("## ")[0]
    assert _named(table) == {field.name for field in fields(Reply)}
    table = page.partition("## What it raises")[2].partition("## ")[0]
    ours = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, SupernovaError)}
    assert set(re.findall(r"`([A-Z]\w+)`", table)) - {"TypeError", "ValueError"} == ours
    methods = {name for name, value in vars(client.Supernova).items() if callable(value) and name[0] != "_"}
    assert methods - {"store", "template"} <= set(re.findall(r"`(?:await )?(\w+)\(", page))


OPTIONS_OF = {
    "chat": options.ChatOptions,
    "analyze": options.AnalyzeOptions,
    "stream": options.StreamOptions,
    "quote": options.StreamOptions,
    "ask": options.RequestOptions,
    "run_tools": options.StreamOptions,
}


def test_table_of_options_matches_the_code() -> None:
    """docs/python.md lists the options in the order of the TypedDicts, and says which functions have each."""
    table = _read("docs/python.md").partition("## What a call takes")[2].partition("## ")[0]
    documented = []
    for names, meaning in re.findall(r"^\| (`.+?) \| .*? \| (.+?) \|$", table, re.MULTILINE):
        some = re.match(r"For (`.+?`):", meaning)
        functions = re.findall(r"`(\w+)`", some[1]) if some else list(OPTIONS_OF)
        documented += [(name, functions) for name in re.findall(r"`(\w+)`", names)]
    assert documented == [
        (name, [function for function, kind in OPTIONS_OF.items() if name in kind.__annotations__])
        for name in options.ChatOptions.__annotations__ | options.AnalyzeOptions.__annotations__
    ]


def test_table_of_options_for_texts_matches_the_code() -> None:
    """docs/embeddings.md lists the options in the order of the TypedDict, and every field of the records."""
    page = _read("docs/embeddings.md")
    table = page.partition("## What they take")[2].partition("## ")[0]
    names = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)))
    assert names == list(options.EmbedOptions.__annotations__)
    table = page.partition("## What they give")[2].partition("## ")[0]
    assert _named(table) == {field.name for kind in (Embeddings, Ranking) for field in fields(kind)}


def test_table_of_advice_options_matches_the_code() -> None:
    """docs/advice.md lists the options in the order of the TypedDict."""
    table = _read("docs/advice.md").partition("| option | default | meaning |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(AdviceOptions.__annotations__)


def _named(table: str) -> set[str]:
    """Return the names in a table's first column."""
    return {
        name for cell in re.findall(r"^\| (`.+?) \|", table, re.M) for name in re.findall(r"`(\w+)`", cell)
    }


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples(module: str) -> None:
    """The examples in a module's docstrings give what they show."""
    result = doctest.testmod(import_module(module))
    assert (result.failed, result.attempted > 0) == (0, True)
