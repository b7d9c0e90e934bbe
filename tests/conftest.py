"""Every test gets a home of its own, and none can reach beyond this machine.

Folders are tested on all cores and without the proofs, unless ``-n`` or ``-m`` says otherwise; files that are
named are tested whole, in this process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from supernova_ai import Supernova
from supernova_ai.keys import master_sources
from supernova_ai.log import setup
from supernova_ai.store import Store
from supernova_ai.testing import StubProvider
from tests import clients
from tests.databases import drop_unused_schemas, new_file, new_schema
from tests.waiting import until

# LiteLLM reads these when it is imported: no .env is loaded, no price map is fetched.
os.environ["LITELLM_MODE"] = "PRODUCTION"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

# No test fails for being slow; Hypothesis has the same rule of its own where CI is set.
if "CI" not in os.environ:
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")

# The suite makes thousands of durable commits: use memory instead of the disk, if there is room.
_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# Left in the environment too, for the processes that share the tests among them.
SEED = os.environ["SUPERNOVA_TEST_SEED"] = os.environ.get("SUPERNOVA_TEST_SEED") or str(secrets.randbits(32))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run folders on all cores and without their proofs; run named files whole, in this process."""
    plugins, option = config.pluginmanager, config.option
    if hasattr(config, "workerinput"):  # it does as the process that started it was told
        return
    if not any(Path(name).is_dir() for name in config.args):
        if not any(word.startswith("-m") for word in config.invocation_params.args):
            option.markexpr = ""  # the one in pyproject.toml is for folders
    # Coverage has begun by now, for one process: with it the command line says -n, as .ci/run does.
    elif option.numprocesses is None and plugins.hasplugin("xdist") and not plugins.hasplugin("_cov"):
        # Neighbours stay together, for what they share is made once; who is done early takes over the rest.
        option.numprocesses, option.dist = "auto", "worksteal"


_LONGEST = [
    "test_chaos",
    "test_backup_drill",
    "test_advise",
    "test_environments",
    "test_demo",
    "test_kills",
    "test_state_machine",
]
"""The files of the proofs that take longest."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use one worker more than cores, because many tests wait."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the proofs, so that no worker has a long one left at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Return where the test comes: proofs first, the longest of them before all."""
    if not item.get_closest_marker("proof"):
        return 99
    return _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else 98


def pytest_sessionfinish() -> None:
    drop_unused_schemas()


def pytest_report_header() -> str:
    return f"random tests: repeat with SUPERNOVA_TEST_SEED={SEED}"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the master key that an earlier test left in this process."""
    monkeypatch.setattr(master_sources, "_remembered", None)


@pytest.fixture
def seed() -> int:
    """What a test's randomness begins with; another one every run, and named at its top."""
    return int(SEED)


@pytest.fixture(autouse=True)
def _isolated(supernova_home: Path, no_real_providers: None) -> Iterator[None]:
    yield
    setup.reset()


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Ask every provider once, for LiteLLM imports a lot on first use: no test's time is to be spent on it.

    Gives the names of the tasks that run on a client's loop when all is quiet.
    """
    with StubProvider("Diversify.") as stub:
        path = tmp_path_factory.mktemp("warm") / "warm.db"
        config = clients.configure(
            path, dict.fromkeys(clients.PROVIDERS, stub.url), routing={"strategy": "round_robin"}
        )
        nova = Supernova(config, master=clients.MASTER)
        for streaming in [False, True] * len(clients.PROVIDERS):
            asyncio.run(nova.chat("What now?", streaming=streaming))
        asyncio.run(until(lambda: clients.tasks_of(nova) <= {"Prober.run", "LoggingWorker._worker_loop"}))
        left = clients.tasks_of(nova)
        nova.close()
    return left


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Make the database of a new store on either engine, and give its path or URL, for this test alone."""
    with ExitStack() as made:
        if request.param == "sqlite":
            number = count(1)
            yield lambda: str(new_file(tmp_path / f"{next(number)}.db"))
        else:
            yield lambda: made.enter_context(new_schema())


@pytest.fixture
def where(new_database: Callable[[], str]) -> str:
    """The path or URL of a new store's database: every test that uses it runs on both engines."""
    return new_database()


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store(where) as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database's file: for what is about SQLite, or the same on both engines."""
    return tmp_path / "supernova.db"


@pytest.fixture
def open_nova(path: Path) -> Iterator[Callable[..., Supernova]]:
    """Open a client over ``path`` as ``clients.configure`` is told; it is closed when the test ends."""
    with ExitStack() as opened:

        def open_(*args: Any, **kwargs: Any) -> Supernova:
            nova = Supernova(clients.configure(path, *args, **kwargs), master=clients.MASTER)
            opened.callback(nova.close)
            return nova

        yield open_
