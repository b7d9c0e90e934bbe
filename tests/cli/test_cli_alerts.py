"""``supernova alerts``: list, test and acknowledge, without printing secrets of URLs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supernova_ai import config as configuration
from supernova_ai.keys import Vault, resolve
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.ledger.thresholds import record_alert
from supernova_ai.money import to_nano
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from tests.alerts.alert_service import Service, spend
from tests.cli.conftest import Supernova

Configure = Callable[..., Store]

CANARY = "cAnArY0123456789"


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def configure(folder: Path) -> Iterator[Configure]:
    """Write the configuration with these alerts, and open its database."""
    stores: list[Store] = []

    def write(**alerts: Any) -> Store:
        (folder / "config").mkdir()
        (folder / "config" / "supernova.yaml").write_text(json.dumps({"alerts": alerts}))
        stores.append(Store(configuration.load().database))
        return stores[-1]

    yield write
    for store in stores:
        store.close()


def put_alert(store: Store, threshold: int, budget: str = "daily") -> None:
    key = (budget, "", "2026-11-22", threshold)
    amounts = {"spent": to_nano("0.5") * threshold, "limit": to_nano(50)}
    now_ms = 1_795_348_800_000
    assert store.write(lambda database: record_alert(database, key, **amounts, now_ms=now_ms)).result()


def test_without_alerts_the_list_is_empty(supernova: Supernova, configure: Configure) -> None:
    """Without alerts the command says so, and the JSON is an empty list."""
    configure()
    assert supernova("alerts", "list").out == "no alerts\n"
    assert supernova("alerts", "list", "--json").json == []


def test_alerts_are_listed_until_they_are_acknowledged(supernova: Supernova, configure: Configure) -> None:
    """list shows number, state and message; ack hides some or all; list --all still shows them."""
    store = configure()
    put_alert(store, 50)
    put_alert(store, 80)
    listed = supernova("alerts", "list").out
    assert listed.startswith("#1  2026-11-22 ")
    assert "$25.00 of $50.00 (50 %) of the budget daily is spent in 2026-11-22." in listed
    assert supernova("alerts", "ack", "1").out == "acknowledged 1\n"
    assert [line.split()[0] for line in supernova("alerts", "list").out.splitlines() if line[0] == "#"] == [
        "#2"
    ]
    assert supernova("alerts", "ack", "--all").out == "acknowledged 1\n"
    assert supernova("alerts", "list").out == "no alerts\n"
    everything = supernova("alerts", "list", "--all", "--json").json
    assert [(row["id"], row["state"]) for row in everything] == [(1, "acknowledged"), (2, "acknowledged")]


def test_json_has_every_part(supernova: Supernova, configure: Configure) -> None:
    """JSON has exact amounts, times in ISO 8601, the delivery, and the text of the message."""
    put_alert(configure(), 80)
    (row,) = supernova("alerts", "list", "--json").json
    assert row["title"] == "Budget daily: 80 % spent"
    assert (row["spent"], row["limit"], row["threshold"]) == ("40", "50", 80)
    assert (row["at"], row["resets_at"]) == ("2026-11-22T12:00:00+00:00", "2026-11-23T00:00:00+00:00")
    assert (row["state"], row["tries"], row["delivery"]) == ("new", 0, {})


def test_an_alert_of_the_probe_budget_says_when_it_resets(supernova: Supernova, configure: Configure) -> None:
    """The configuration has no budget of this name, but its alert has a time of reset."""
    put_alert(configure(), 80, "probe")
    assert "It resets on 2026-11-23" in supernova("alerts", "list").out


def test_a_spike_is_listed_without_notify(supernova: Supernova, configure: Configure) -> None:
    """A spike is listed even if ``alerts.notify`` is empty."""
    store = configure()
    now = int(store.now() * 1000) // HOUR_MS

    for day in range(1, 12):
        spend(store, now - 24 * day, "1")
    spend(store, now, "100")
    (row,) = supernova("alerts", "list", "--json").json
    assert (row["threshold"], row["spent"]) == (0, "100")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give the numbers of alerts, or --all"),
        (("1", "--all"), "give the numbers of alerts, or --all"),
        (("7",), "there is no alert 7: see 'supernova alerts list'"),
        (("x",), "Invalid value for 'ids': 'x' is not a whole number"),
    ],
)
def test_ack_needs_numbers_or_all(
    supernova: Supernova, configure: Configure, arguments: tuple[str, ...], said: str
) -> None:
    """Neither, both, an unknown alert or no number is a usage error, and acknowledges nothing."""
    put_alert(configure(), 50)
    result = supernova("alerts", "ack", *arguments)
    assert result.code == 2
    assert said in " ".join(result.err.replace("│", "").split())
    assert "#1" in supernova("alerts", "list").out


def test_the_test_names_each_url_that_failed(
    supernova: Supernova, configure: Configure, service: Service
) -> None:
    """Each URL gets a message; one that fails is named with the reason, and the exit code is 1."""
    place = service.url.removeprefix("json://")
    service.statuses = [200, 403]
    store = configure(notify=[f"json://ann:{CANARY}@{place}/{CANARY}", "vault:ops", "vault:gone"])
    vault = Vault(store, lambda: resolve(store, environ=configuration.read_environ(), create=True))
    vault.add("ops", "primary", Secret(f"json://ann:{CANARY}@{place}/{CANARY}"))
    result = supernova("alerts", "test")
    first, second, third = result.out.splitlines()
    assert first == "notify[0] json: sent"
    assert second == "notify[1] vault:ops: FAILED: it answered HTTP 403"
    assert third.startswith("notify[2] vault:gone: FAILED: the vault holds no primary key of gone")
    assert result.code == 1
    assert [got["title"] for got in service.got] == ["A test", "A test"]
    assert CANARY not in result.out


def test_the_test_succeeds_if_every_url_accepts(
    supernova: Supernova, configure: Configure, service: Service
) -> None:
    """The exit code is 0 if every URL accepted the message."""
    configure(notify=[service.url])
    assert supernova("alerts", "test").code == 0


def test_the_test_checks_certificates_as_delivery_does(
    supernova: Supernova, configure: Configure, service: Service, folder: Path
) -> None:
    """A URL without the check of certificates is used only with 'verify_tls: false'."""
    alerts = {"notify": [f"{service.url}?verify=no"]}
    configure(**alerts)
    assert "FAILED: its URL disables the check of certificates" in supernova("alerts", "test").out
    settings = {"alerts": alerts, "verify_tls": False}
    (folder / "config" / "supernova.yaml").write_text(json.dumps(settings))
    assert supernova("alerts", "test").out == "notify[0] json: sent\n"


def test_the_test_needs_a_url(supernova: Supernova, configure: Configure) -> None:
    """Without URLs the command exits with 3 and names the setting."""
    configure()
    result = supernova("alerts", "test")
    assert (result.code, result.out) == (3, "")
    assert "alerts.notify" in result.err
