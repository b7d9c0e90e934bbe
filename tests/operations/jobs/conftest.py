from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from supernova_ai.config import Config, Loaded
from supernova_ai.operations.jobs.job import Context, Job, Outcome
from supernova_ai.operations.jobs.schedule import Every
from supernova_ai.store import Store


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    """A store on either engine, unlike that of the folder above."""
    with Store(where) as store:
        yield store


@pytest.fixture
def loaded() -> Loaded:
    return Loaded.of(Config())


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """Make a job that is due every minute; it is done by a function of the context, or says a word."""

    def make(
        work: Callable[[Context], Outcome] = lambda _: "worked", name: str = "test", seconds: float = 60
    ) -> Job:
        return Job(name, "Test", lambda _: Every(seconds), work)

    return make
