"""The errors form one tree, which the module draws and the package exports; they can be pickled."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

import supernova_ai
from supernova_ai import errors
from supernova_ai.errors import BudgetExceeded, ProviderTimeout, StreamInterrupted, SupernovaError

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SupernovaError)
}
EXCEEDED = BudgetExceeded(
    budget="daily",
    spent=Decimal("0.75"),
    held=Decimal("0.2"),
    limit=Decimal("1"),
    needed=Decimal("1E-9"),
    resets_at=datetime(2026, 11, 23, tzinfo=ZoneInfo("Europe/Paris")),
)


def drawn() -> list[tuple[str, str | None]]:
    """Return the tree in the module's docstring: each class with its parent."""
    tree: list[tuple[str, str | None]] = []
    path: list[str] = []
    for branch, name in re.findall(r"^([│├└─ ]*)(\w+)(?:  .*)?$", errors.__doc__ or "", re.MULTILINE):
        depth = len(branch) // 4
        path[depth:] = [name]
        tree.append((name, path[depth - 1] if depth else None))
    return tree


def test_the_drawing_equals_the_tree() -> None:
    """The drawing shows every class once, in the order of the module, below its parent."""
    real = [
        (name, next((base.__name__ for base in kind.__bases__ if base in CLASSES.values()), None))
        for name, kind in vars(errors).items()
        if name in CLASSES
    ]
    assert drawn() == real


def test_every_error_is_exported() -> None:
    """Every error can be imported from the package itself."""
    assert set(CLASSES) <= set(supernova_ai.__all__)
    assert all(getattr(supernova_ai, name) is kind for name, kind in CLASSES.items())
    assert list(supernova_ai.__all__) == sorted(supernova_ai.__all__)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_says_what_it_means(kind: type[SupernovaError]) -> None:
    """Every class has its own docstring."""
    assert kind.__doc__ != SupernovaError.__doc__ or kind is SupernovaError
    assert kind.__doc__


def test_wrong_values_are_value_errors_too() -> None:
    """Code that catches ValueError for invalid arguments keeps working."""
    assert {kind.__name__ for kind in CLASSES.values() if issubclass(kind, ValueError)} == {
        "InvalidRequest",
        "KeyFormatError",
        "UnknownModel",
        "UnknownOption",
    }


def test_a_refusal_gives_its_numbers_and_the_remedy() -> None:
    """The message has every amount in full, the reset time and the remedy."""
    assert str(EXCEEDED) == (
        "budget 'daily' is too low for this request: it needs up to $0.000000001, and $0.05 of $1.00 is left "
        "($0.75 spent, $0.20 held). It resets at 2026-11-23 00:00 CET. Raise the limit under 'budgets', "
        "lower max_tokens, or use a cheaper tier."
    )


def test_nothing_is_left_of_an_overspent_budget() -> None:
    """``left`` is never negative, and a limit without a period has no reset time."""
    refusal = BudgetExceeded(
        budget="max_cost",
        spent=Decimal(3),
        held=Decimal(0),
        limit=Decimal(2),
        needed=Decimal(1),
        resets_at=None,
    )
    assert refusal.left == 0
    assert "resets" not in str(refusal)


@pytest.mark.parametrize(
    ("budget", "remedy"),
    [("max_cost", "Raise max_cost, lower"), ("probe", "Raise 'health.paid_limit', lower")],
)
def test_the_remedy_is_where_the_limit_is(budget: str, remedy: str) -> None:
    """The remedies for max_cost and for paid probes do not name 'budgets'."""
    some = Decimal(1)
    refusal = BudgetExceeded(budget=budget, spent=some, held=some, limit=some, needed=some, resets_at=None)
    assert remedy in str(refusal)
    assert "'budgets'" not in str(refusal)


TIMEOUT = ProviderTimeout("no answer in 60 s", provider="openai", model="m", status=408)
TIMEOUT.request_id = "r"


@pytest.mark.parametrize("error", [EXCEEDED, TIMEOUT, StreamInterrupted("half an ans", TIMEOUT)], ids=repr)
def test_an_error_survives_another_process(error: SupernovaError) -> None:
    """Pickled or copied, an error keeps its class, message, fields and notes."""
    error.add_note("while advising")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)
