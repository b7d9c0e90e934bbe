"""One Chromium for each module, and dashboards for it.

Where there is no Chromium the tests are skipped; on a CI machine they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from supernova_ai.config import Config
from supernova_ai.dashboard.access import Access
from supernova_ai.dashboard.application import create_app
from supernova_ai.store import ReadOnlyStore, Store
from tests.dashboard.browser.served import Served
from tests.dashboard.conftest import CONFIG, render_each_time
from tests.waiting import comes_true


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium: install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve(chromium: Browser) -> Iterator[Callable[..., Served]]:
    """Serve the dashboard over a database until the module ends."""
    with ExitStack() as stopping, pytest.MonkeyPatch.context() as patch:
        render_each_time(patch)

        def run(database: str, config: Config = CONFIG, **options: Any) -> Served:
            listener = stopping.enter_context(socket.create_server(("127.0.0.1", 0)))
            access, zone = Access(), ZoneInfo("Europe/Paris")
            app = create_app(
                ReadOnlyStore(database),
                lambda: config,
                access,
                hosts=["127.0.0.1"],
                time_zone=zone,
                **options,
            )
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            stopping.callback(thread.join)
            stopping.callback(setattr, server, "should_exit", True)
            assert comes_true(lambda: server.started or not thread.is_alive())
            return Served(chromium, f"http://127.0.0.1:{listener.getsockname()[1]}", access, server)

        yield run


@pytest.fixture
def served(serve: Callable[..., Served], store: Store, where: str) -> Iterator[Served]:
    """A dashboard over the ledger of ``put``, which is empty at first."""
    served = serve(where)
    yield served
    served.server.should_exit = True


@pytest.fixture
def where(path: Path) -> str:
    """The browser need not know the engine."""
    return str(path)
