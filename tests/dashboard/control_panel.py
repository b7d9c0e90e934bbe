"""A dashboard with its controls over files of its own, whose controls run in this process."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from peewee import Database
from starlette.testclient import TestClient

from supernova_ai import config as configuration
from supernova_ai.alerts.outbox import record_notice
from supernova_ai.audit import AuditEvent
from supernova_ai.config import Loaded, read_environ
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.controls.processes import Processes
from supernova_ai.keys import Vault, open_vault
from supernova_ai.store import Store

YAML = """\
# ours
database: {database}
streaming: false  # no
providers:
  openai:
    api_base: {url}/v1
    models: {{standard: gpt-4o-mini}}
    keys: [primary]
  ollama:
    models: {{economy: llama3.1}}
    keys: []
    price: free
routing: {{priority: [openai, ollama], retries: 0}}
budgets:
  - {{name: daily, limit: 50, per: day}}  # everybody's
health: {{probes: "off"}}
"""


class Shown(Protocol):
    """A response."""

    @property
    def status_code(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


def _in_this_process() -> Executor:
    return ThreadPoolExecutor(1)


@dataclass(frozen=True)
class Panel:
    """The dashboard of one configuration file, and what is behind it."""

    file: Path
    store: Store
    sign_in: Callable[..., TestClient]
    opened: ExitStack

    @property
    def loaded(self) -> Loaded:
        return configuration.load(self.file)

    @property
    def vault(self) -> Vault:
        return open_vault(self.store, environ=read_environ(), create=True)

    def set(self, **settings: Any) -> None:
        """Add settings to the file."""
        with self.file.open("a") as file:
            file.writelines(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())

    def visitor(self, role: Role = Role.ADMIN, make: Callable[[], Executor] = _in_this_process) -> Visitor:
        """Return a user of this role, whose name is ann; ``make`` makes what runs the controls."""
        processes = Processes(self.file, make=make)
        self.opened.callback(processes.close)
        browser = self.sign_in(role, config=self.loaded.config, processes=processes)
        return Visitor(browser)

    def audited(self, event: str) -> AuditEvent:
        """Return the only row of such an event, which says that the user did it in the dashboard."""
        (row,) = (row for row in self.vault.audit_events() if row.event == event)
        assert (row.actor, row.source.split()[0]) == ("ann", "dashboard")
        return row

    def state(self) -> tuple[bytes, list[AuditEvent], list[Any]]:
        """Return all that a control could change."""
        return self.file.read_bytes(), list(self.vault.audit_events()), self.vault.list()


class Visitor:
    """A browser of somebody who has signed in, at the controls."""

    def __init__(self, browser: TestClient) -> None:
        self.browser = browser
        found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/now").text)
        assert found
        self.csrf = found[1]

    def open(self, control: str, **query: Any) -> Shown:
        """Follow a link to a control."""
        return self.browser.get(f"/control/{control}", params=query)

    def send(self, control: str, **values: Any) -> Shown:
        """Send the form of a control."""
        return self.browser.post(f"/control/{control}", data={"csrf": self.csrf, **values})

    def confirm(self, control: str, page: Shown, **values: Any) -> Shown:
        """Confirm what the page says."""
        return self.send(control, confirmed=token_of(page), **values)

    def do(self, control: str, **values: Any) -> Shown:
        """Send the form of a control, confirm it, and return the page that says what was done."""
        page = self.send(control, **values)
        done = self.confirm(control, page)
        assert done.status_code == 200, text_of(done)
        assert 'state good">Done' in done.text, text_of(done)
        return done


def token_of(page: Shown) -> str:
    """Return what the page's button confirms."""
    found = re.search(r'name="confirmed" value="([^"]+)"', page.text)
    assert found, text_of(page)
    return found[1]


def text_of(page: Shown) -> str:
    """Return the text of a page's content."""
    main = page.text.partition("<main")[2] or page.text
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main.partition(">")[2])).split())


def put_alerts(store: Store, *titles: str) -> None:
    def put(database: Database) -> None:
        for title in titles:
            record_notice(
                database, "job", title, "today", title=title, text=f"{title} failed", now_ms=store.now_ms()
            )

    store.write(put).result()
