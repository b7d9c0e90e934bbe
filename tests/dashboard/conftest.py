from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from supernova_ai import health
from supernova_ai.config import Budget, Config
from supernova_ai.dashboard import rendering
from supernova_ai.dashboard.access import Access, Role
from supernova_ai.dashboard.application import create_app
from supernova_ai.dashboard.page import Page
from supernova_ai.dashboard.pages import PAGES
from supernova_ai.dashboard.passwords import Cost, Passwords
from supernova_ai.ledger import End, Ledger, lost_end
from supernova_ai.money import to_nano
from supernova_ai.operations import key_rotation
from supernova_ai.store import Clock, ReadOnlyStore, Store
from supernova_ai.testing import StubProvider
from supernova_ai.types import Usage
from tests.dashboard.control_panel import YAML, Panel
from tests.holds import entry

ADDRESS = "http://127.0.0.1:8766"

CONFIG = Config(
    budgets=(
        Budget(name="firm", limit=Decimal(10), per="month"),
        Budget(name="today", limit=Decimal(2), per="day"),
        Budget(name="each-user", limit=Decimal(1), per="week", user="*"),
    )
)


class Still(Clock):
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self._now = now

    def __call__(self) -> float:
        return self._now


CHEAP = Cost(memory_kib=8, iterations=1)
"""The least that a hash can cost."""

SignIn = Callable[..., TestClient]
Put = Callable[..., None]


def render_each_time(patch: pytest.MonkeyPatch) -> None:
    """Have a page that is asked for show what is new, also where the machine is slow."""
    patch.setattr(rendering, "EVERY_S", 0.0)
    patch.setattr(rendering, "_SHARE", 0)
    patch.setattr(rendering, "QUICK_S", 3600.0)


@pytest.fixture
def clock() -> SimpleNamespace:
    """The clock of the sessions, in seconds."""
    return SimpleNamespace(now=0.0)


@pytest.fixture
def access(clock: SimpleNamespace) -> Access:
    return Access(lambda: clock.now)


@pytest.fixture
def visit(store: Store, where: str, access: Access) -> SignIn:
    """Return a browser without a session, at a dashboard over the store."""

    def visit_(
        pages: Sequence[Page] = PAGES, config: Config = CONFIG, still: bool = False, **options: Any
    ) -> TestClient:
        named: dict[str, Any] = {"hosts": ["127.0.0.1"], "time_zone": ZoneInfo("Europe/Paris")} | options
        reader = ReadOnlyStore(where)
        if still:
            reader.now = Still(store.now())
        named.setdefault("passwords", Passwords(CHEAP))
        app = create_app(reader, lambda: config, access, pages=pages, **named)
        return TestClient(app, base_url=ADDRESS, follow_redirects=False, raise_server_exceptions=False)

    return visit_


@pytest.fixture
def sign_in(visit: SignIn, access: Access) -> SignIn:
    """Return a browser of a user with this role, who has signed in."""

    def sign_in_(role: Role = Role.ADMIN, **options: Any) -> TestClient:
        browser = visit(**options)
        browser.cookies.set("supernova_8766", access.start("ann", role))
        return browser

    return sign_in_


@pytest.fixture
def put(store: Store) -> Put:
    """Let an attempt end in the ledger now, settled at so many USD, released with an error, lost or held."""
    ledger = Ledger(store, CONFIG.all_budgets)
    number = count(1)

    def put_(usd: str = "0.01", *, message: str | None = None, state: str = "settled", **given: Any) -> None:
        now_ms = store.now_ms() - 1
        name = f"attempt-{next(number)}"
        wanted = entry(name, to_nano(usd), now_ms, **{"request": name, **given})
        hold = ledger.write(lambda database: ledger.hold(database, wanted)).result()
        end = End("settled", hold.amount, "exact", Usage(prompt=1200, completion=340), now_ms, 900, 200)
        if message is not None:
            failure = health.fingerprint(wanted.provider, "RateLimited", 429, message)
            end = End("released", 0, None, Usage(), now_ms, 80, None, "RateLimited", None, failure)
        elif state == "lost":
            end = lost_end(hold, ended_ms=now_ms, error="Abandoned")
        if state != "held":
            assert ledger.end(hold, end).result()

    return put_


@pytest.fixture
def stub(stub_provider: Callable[..., StubProvider]) -> StubProvider:
    return stub_provider("Diversify.")


@pytest.fixture
def panel(
    store: Store,
    where: str,
    sign_in: SignIn,
    stub: StubProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Panel]:
    """Controls over a configuration file, with a master key, and with openai at a stub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY_ENCRYPTION_KEY", "5e" * 32)
    monkeypatch.setattr(key_rotation, "SETTLE_S", 0)
    file = tmp_path / "config" / "supernova.yaml"
    file.parent.mkdir()
    file.write_text(YAML.format(database=where, url=stub.url))
    with ExitStack() as opened:
        yield Panel(file, store, sign_in, opened)
