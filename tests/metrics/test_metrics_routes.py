"""The routes of a server: metrics, and whether it lives and is ready."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import util
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from supernova_ai import health
from supernova_ai.config import Config
from supernova_ai.errors import MasterKeyError
from supernova_ai.health import CircuitState
from supernova_ai.keys import MasterKey, Vault
from supernova_ai.metrics.routes import routes
from supernova_ai.operations.provider_states import configured_deployments
from supernova_ai.secret import Secret
from supernova_ai.store import ReadOnlyStore, Store
from tests.clients import MASTER, vault_of
from tests.metrics.conftest import CONFIG

Open = Callable[..., TestClient]


@pytest.fixture
def open_app(store: Store, clock: SimpleNamespace) -> Open:
    """Return a client of an application with the routes alone, over the store and this master key."""
    store.now = lambda: clock.now  # type: ignore[assignment]

    def app(config: Config = CONFIG, master: Any = MASTER) -> TestClient:
        return TestClient(
            Starlette(routes=routes(lambda: config, lambda: store, lambda: Vault(store, master)))
        )

    return app


def add_key(store: Store) -> None:
    vault_of(store).add("openai", "primary", Secret("sk-canary-0123456789"))


def test_it_lives(open_app: Open, store: Store) -> None:
    """A server that answers lives, whatever its database does."""
    store.close()
    response = open_app().get("/health/live")
    assert (response.status_code, response.json()) == (200, {"live": True})


def test_it_is_ready(open_app: Open, store: Store) -> None:
    """With a database, a master key and a provider that has a key, calls can be made."""
    add_key(store)
    response = open_app().get("/health/ready")
    checks = {"database": "ok", "master key": "ok", "providers": "ok"}
    assert (response.status_code, response.json()) == (200, {"ready": True, "checks": checks})
    assert response.headers["cache-control"] == "no-store"


def test_without_a_key_no_provider_can_be_asked(open_app: Open) -> None:
    """There is no master key yet either, which is no fault: nothing is encrypted with one."""
    response = open_app().get("/health/ready")
    checks = {"database": "ok", "master key": "ok", "providers": "none has a key"}
    assert (response.status_code, response.json()) == (503, {"ready": False, "checks": checks})


def test_a_provider_without_keys_is_enough(open_app: Open) -> None:
    """A local model takes no key."""
    local = CONFIG.providers["openai"].model_copy(update={"keys": ()})
    config = CONFIG.model_copy(update={"providers": {"openai": local}})
    assert open_app(config).get("/health/ready").status_code == 200


def test_every_circuit_is_open(open_app: Open, store: Store, clock: SimpleNamespace) -> None:
    """While all deployments are in cooldown no call can be made; one whose cooldown is over is tested."""
    add_key(store)
    now_ms = int(clock.now * 1000)
    for identity in configured_deployments(CONFIG):
        circuit = CircuitState(identity, "open", now_ms, now_ms + 30_000)
        store.write(partial(health.record, state=circuit)).result()
    http = open_app()
    assert http.get("/health/ready").json()["checks"]["providers"] == "all are in cooldown"
    clock.now += 31
    assert http.get("/health/ready").status_code == 200


def test_calls_are_switched_off(open_app: Open) -> None:
    """``enabled: false`` is a reason."""
    response = open_app(CONFIG.model_copy(update={"enabled": False})).get("/health/ready")
    assert response.json()["checks"]["providers"] == "LLM calls are switched off"


@pytest.mark.parametrize("how", ["missing", "another"])
def test_the_master_key_is_needed(open_app: Open, store: Store, how: str) -> None:
    """Stored keys cannot be opened without their master key; the reason does not say where it is."""
    add_key(store)

    def missing() -> MasterKey:
        raise MasterKeyError("not in /etc/canary")

    master = missing if how == "missing" else MasterKey.of(b"x" * 32)
    response = open_app(master=master).get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"]["master key"] == "it is missing, or belongs to another database"
    assert "canary" not in response.text


def test_the_database_cannot_be_used(open_app: Open, store: Store) -> None:
    """It is the only check then. Neither the reason nor the metrics say where it is."""
    store.write(lambda database: database.execute_sql("DROP TABLE api_key")).result()
    http = open_app()
    ready, metrics = http.get("/health/ready"), http.get("/metrics")
    assert (ready.status_code, ready.json()["checks"]) == (503, {"database": "it cannot be used"})
    assert (metrics.status_code, metrics.text) == (503, "the database cannot be used\n")


def test_metrics(open_app: Open) -> None:
    """Prometheus gets the type that it asks for."""
    http = open_app()
    plain = http.get("/metrics", headers={"accept": "*/*"})
    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "supernova_build_info{" in plain.text
    open_metrics = http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")


def test_a_store_that_is_only_read(store: Store, where: str) -> None:
    """An application without the master key has the same routes over a database that it cannot write."""
    add_key(store)
    http = TestClient(Starlette(routes=routes(lambda: CONFIG, partial(ReadOnlyStore, where))))
    assert http.get("/health/ready").json()["checks"] == {"database": "ok", "providers": "ok"}
    assert "supernova_pending_ends 0.0\n" in http.get("/metrics").text


def test_without_the_extra(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ``/metrics`` needs prometheus-client, and says how to install it."""
    find_spec = util.find_spec
    monkeypatch.setattr(
        "supernova_ai.metrics.routes.find_spec",
        lambda name: None if name == "prometheus_client" else find_spec(name),
    )
    http = open_app()
    assert http.get("/metrics").status_code == 501
    assert "pip install 'supernova-ai[metrics]'" in http.get("/metrics").text
    assert http.get("/health/live").status_code == 200
