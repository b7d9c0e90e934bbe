"""The catalogue of toxins: true to what the stub sends, and to its documentation."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import get_args

import httpx
import pytest

from supernova_ai import errors
from supernova_ai.testing import TOXINS, Failure, Flood, Hang, Reset, Step, StubProvider
from tests.testing.raw_client import KEY, Dialect, ask, request_body

Make = Callable[..., StubProvider]


def test_catalogue() -> None:
    """Every toxin's kind is an error of this package, and only a broken stream breaks after content."""
    for name, toxin in TOXINS.items():
        assert toxin.kind is None or issubclass(getattr(errors, toxin.kind), errors.ProviderError), name
        assert not (toxin.intact and toxin.kind), name
        if toxin.streams_only:
            assert isinstance(toxin.step, Failure), name


NAMES = sorted(TOXINS.keys() - {"endless_flood", "slow_drip"})


@pytest.mark.parametrize(
    ("name", "dialect"),
    # A refusal with a status has no content in any dialect.
    [*product(NAMES, ["openai"]), *product((n for n in NAMES if "http" not in n), ["anthropic", "ollama"])],
    indirect=["dialect"],
)
def test_content_arrives_where_the_catalogue_says(name: str, dialect: Dialect, stub_provider: Make) -> None:
    """``after_content`` and ``intact`` say truly whether some or all of a stream's tokens arrive."""
    toxin = TOXINS[name]
    step = Flood(100) if name == "flood" else toxin.step
    if isinstance(step, Hang):
        step = Reset(step.after_tokens)  # which stops at the same place, and does not take a time-out to see
    _, text, error = ask(stub_provider(step), dialect, streamed=True)
    arrived = '"content": "' in text.replace('"content": ""', "") or "text_delta" in text
    assert arrived == (toxin.after_content or toxin.intact)
    assert (dialect.last in text) == (toxin.intact or name == "garbled")
    assert not (toxin.intact and error)


def test_reply_may_be_a_function(dialect: Dialect, stub_provider: Make) -> None:
    """A function of the request decides what it gets: at random, with a seed, say."""
    chance = random.Random(7)
    steps = [Failure(500), "Diversify."]
    stub = stub_provider(lambda request: chance.choice(steps) if request.key == KEY else Failure(401))
    statuses = [head.status_code for _ in range(8) if (head := ask(stub, dialect, False).head)]
    repeat = random.Random(7)
    assert statuses == [500 if isinstance(repeat.choice(steps), Failure) else 200 for _ in range(8)]
    assert set(statuses) == {200, 500}
    stranger = httpx.post(stub.url + dialect.path, json=request_body(False))
    assert stranger.status_code == 401


PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_toxin_and_step_is_documented() -> None:
    """docs/testing.md has each toxin and each step in its tables, and no others."""
    documented = [re.findall(r"`(\w+)", row) for row in re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)]
    steps = {step.__name__ for step in get_args(Step)}
    assert {name for names in documented for name in names} == steps | TOXINS.keys()


def test_documented_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The first example of docs/testing.md prints what is shown below it."""
    exec(EXAMPLES[0], {})
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out == shown


def test_documented_chaos_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The example with a seed runs as written."""
    exec(EXAMPLES[1], {})
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
