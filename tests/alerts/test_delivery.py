"""Alerts are delivered once, retried if a service fails, and never delay a call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.alerts.delivery import STALE_S, TRIES, AlertDelivery
from supernova_ai.alerts.outbox import AlertEvent, acknowledge, list_alerts
from supernova_ai.config import Alerts, Budget, Spike
from supernova_ai.errors import KeyNotFound
from supernova_ai.ledger import Ledger
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.ledger.thresholds import record_alert
from supernova_ai.money import to_nano
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow
from tests.alerts.alert_service import WAIT_S, Service, results_by_channel, spend
from tests.holds import Take, settle
from tests.servers import Server

CANARY = "cAnArY0123456789"
DAILY = Budget(name="daily", limit=Decimal(1), per="day")
QUIET = Spike(factor=None)

Open = Callable[..., AlertDelivery]


@pytest.fixture
def services() -> Iterator[Callable[[], Service]]:
    with ExitStack() as opened:

        def start() -> Service:
            service = Service()
            opened.callback(service.close)
            return service

        yield start


@pytest.fixture
def service(services: Callable[[], Service]) -> Service:
    return services()


@pytest.fixture
def open_delivery(store: Store, clock: SimpleNamespace) -> Iterator[Open]:
    """Make the delivery for these URLs; it is closed when the test ends."""
    with ExitStack() as opened:

        def open_(*urls: str, spike: Spike = QUIET, **given: Any) -> AlertDelivery:
            ordinary: dict[str, Any] = {"resolve": _no_vault, "clock": lambda: clock.now}
            made = AlertDelivery(store, [DAILY], Alerts(notify=urls, spike=spike), **ordinary | given)
            opened.callback(made.close)
            return made

        yield open_


def _no_vault(name: str) -> Secret:
    raise KeyNotFound(f"the vault holds no primary key of {name}")


@pytest.fixture
def alert(store: Store, clock: SimpleNamespace) -> Callable[..., None]:
    """Record an alert of the daily budget at this threshold."""

    def add(threshold: int = 50) -> None:
        key = ("daily", "", "2026-11-22", threshold)
        amounts = {"spent": to_nano("0.01") * threshold, "limit": to_nano(1)}
        store.write(
            lambda database: record_alert(database, key, **amounts, now_ms=int(clock.now * 1000))
        ).result()

    return add


def rows(store: Store) -> list[AlertRow]:
    return store.read(lambda database: list_alerts(database, acknowledged=True))


def test_a_message_arrives_once(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store
) -> None:
    """Apprise delivers title and text to the URL; the alert is then sent, and is not sent again."""
    alert(80)
    delivery = open_delivery(service.url)
    assert [delivery.deliver_due(), delivery.deliver_due()] == [1, 0]
    (got,) = service.got
    assert got["title"] == "Budget daily: 80 % spent"
    assert got["message"] == (
        "$0.80 of $1.00 (80 %) of the budget daily is spent in 2026-11-22. "
        "It resets on 2026-11-23 at 00:00 UTC."
    )
    assert got["type"] == "warning"
    (row,) = rows(store)
    assert (row.state, row.tries, results_by_channel(row)["notify[0] json"]) == ("sent", 1, "sent")


@pytest.mark.parametrize("wanted", ["", "?redirect=yes"])
def test_an_alert_follows_no_redirect(
    wanted: str, service: Service, open_delivery: Open, alert: Callable[..., None], store: Store
) -> None:
    """A redirect gets neither the message nor the URL's tokens, even if the URL asks to follow it."""
    alert()
    to = service.url.replace("json://", "http://")
    with Server(lambda _: (307, {"location": to}, b"")) as first:
        open_delivery(first.url.replace("http://", "json://") + f"/{wanted}").deliver_due()
    assert (len(first.sent), service.got) == (1, [])
    (row,) = rows(store)
    assert results_by_channel(row)["notify[0] json"] == "it answered HTTP 307"


def test_a_url_cannot_disable_certificate_checks(
    open_delivery: Open, alert: Callable[..., None], store: Store
) -> None:
    """Nothing is sent to a URL with ``verify=no`` unless the configuration allows it."""
    alert()
    with Server(lambda _: (200, {}, b"")) as server:
        url = server.url.replace("http://", "json://") + "/?verify=no"
        open_delivery(url).deliver_due()
        assert server.sent == []
        (row,) = rows(store)
        assert "verify_tls" in results_by_channel(row)["notify[0] json"]
        store.write(lambda database: AlertRow.update(next_ms=0).execute(database)).result()
        open_delivery(url, verify_tls=False).deliver_due()
        assert len(server.sent) == 1


def test_only_the_service_that_failed_is_retried(
    services: Callable[[], Service],
    open_delivery: Open,
    alert: Callable[..., None],
    store: Store,
    clock: SimpleNamespace,
) -> None:
    """The retry waits for its time, and a service that accepted the message does not get it twice."""
    good, bad = services(), services()
    bad.statuses = [503]
    alert()
    delivery = open_delivery(good.url, bad.url)
    assert delivery.deliver_due() == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("new", 1)
    assert results_by_channel(row)["notify[1] json"] == "it answered HTTP 503"
    clock.now += 59
    assert delivery.deliver_due() == 0
    clock.now += 1
    assert delivery.deliver_due() == 1
    assert [len(good.got), len(bad.got)] == [1, 2]
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", 2)


def test_an_alert_fails_after_the_last_try(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """The delay doubles with each try, up to an hour; after the last try the alert has failed."""
    service.close()
    alert()
    delivery = open_delivery(service.url)
    waits = []
    for _ in range(TRIES):
        assert delivery.deliver_due() == 1
        (row,) = rows(store)
        waits.append(row.next_ms / 1000 - clock.now)
        clock.now = row.next_ms / 1000
    assert waits[:-1] == [60, 120, 240, 480, 960, 1920, 3600]
    assert (row.state, row.tries) == ("failed", TRIES)
    assert "could not be reached" in results_by_channel(row)["notify[0] json"]
    clock.now += 7200
    assert delivery.deliver_due() == 0


def test_a_last_try_whose_process_died_is_repeated(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """An alert whose process died during the last try gets one more try, and is sent or fails."""
    alert()
    delivery = open_delivery(service.url)
    for _ in range(TRIES):
        claimed = store.write(delivery._claim).result()  # then the process died
        assert claimed is not None
        clock.now = claimed.next_ms / 1000
    assert delivery.deliver_due() == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", TRIES + 1)


def test_several_processes_send_each_alert_once(
    where: str, service: Service, alert: Callable[..., None], clock: SimpleNamespace, store: Store
) -> None:
    """Four deliveries, each with its own connection, share the alerts and send each one once."""
    for threshold in range(1, 21):
        alert(threshold)
    together = threading.Barrier(4)

    def run() -> None:
        with Store(where) as own:
            delivery = AlertDelivery(
                own,
                [DAILY],
                Alerts(notify=(service.url,), spike=QUIET),
                resolve=_no_vault,
                clock=lambda: clock.now,
            )
            together.wait()
            delivery.deliver_due()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got["title"] for got in service.got) == sorted(
        f"Budget daily: {threshold} % spent" for threshold in range(1, 21)
    )
    assert {row.state for row in rows(store)} == {"sent"}


def test_an_alert_is_sent_by_another_process_when_its_lease_ends(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """A claimed alert is left alone during its lease; after the lease another process sends it."""

    def die(_: AlertEvent) -> None:
        raise SystemExit

    alert()
    with pytest.raises(SystemExit):
        open_delivery(sinks=[die]).deliver_due()
    other = open_delivery(service.url)
    clock.now += 59
    assert other.deliver_due() == 0
    clock.now += 1
    assert other.deliver_due() == 1
    assert len(service.got) == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", 2)


def test_a_delivery_that_lost_its_lease_changes_nothing(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """A delivery that was too slow does not overwrite the result of the next one."""
    service.statuses = [503]
    alert()

    def be_slow(_: AlertEvent) -> None:
        clock.now += 3600
        assert open_delivery(service.url).deliver_due() == 1

    open_delivery("json://127.0.0.1:1/", sinks=[be_slow]).deliver_due()
    (row,) = rows(store)
    assert (row.state, row.tries, row.next_ms / 1000 - clock.now) == ("new", 2, 120)
    assert "HTTP 503" in results_by_channel(row)["notify[0] json"]


def test_acknowledged_and_old_alerts_are_not_sent(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """Acknowledged alerts and those older than a day are not sent, even to a first URL."""
    alert(50)
    store.write(acknowledge).result()
    alert(80)
    clock.now += STALE_S
    alert(100)
    assert open_delivery(service.url).deliver_due() == 1
    assert [got["title"] for got in service.got] == ["Budget daily: 100 % spent"]


def test_an_exception_in_a_sink_is_logged_only(
    open_delivery: Open, alert: Callable[..., None], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Each sink gets the event; an exception in one is logged, stops no other sink and causes no retry."""
    events: list[AlertEvent] = []

    def broken(_: AlertEvent) -> None:
        raise ValueError("no")

    alert(80)
    assert open_delivery(sinks=[broken, events.append]).deliver_due() == 1
    (event,) = events
    assert (event.budget, event.threshold, event.spent, event.limit, event.percent) == (
        "daily",
        80,
        Decimal("0.8"),
        Decimal(1),
        80,
    )
    assert "alerts.sink.failed" in caplog.text
    assert rows(store)[0].state == "sent"


def test_sinks_are_not_called_again_when_a_service_failed(
    service: Service, open_delivery: Open, alert: Callable[..., None], clock: SimpleNamespace
) -> None:
    """When only a URL is retried, sinks are not called a second time."""
    service.statuses = [500]
    events: list[AlertEvent] = []
    alert()
    delivery = open_delivery(service.url, sinks=[events.append])
    delivery.deliver_due()
    clock.now += 60
    delivery.deliver_due()
    assert [len(service.got), len(events)] == [2, 1]


def test_a_spike_is_found_and_sent(
    service: Service, open_delivery: Open, store: Store, clock: SimpleNamespace
) -> None:
    """The delivery thread checks for spikes every few minutes, not in every round."""
    hour = int(clock.now * 1000) // HOUR_MS

    for day in range(1, 10):
        spend(store, hour - 24 * day, "1")
    delivery = open_delivery(service.url, spike=Spike())
    assert delivery.deliver_due() == 0
    spend(store, hour, "20")
    clock.now += 299
    assert delivery.deliver_due() == 0
    clock.now += 1
    assert delivery.deliver_due() == 1
    (got,) = service.got
    assert got["title"] == "$20.00 spent today, usual is $1.00"
    assert got["type"] == "failure"


def test_without_urls_and_sinks_there_is_no_thread(
    open_delivery: Open, alert: Callable[..., None], store: Store
) -> None:
    """Nothing is started, and the alert waits in the outbox."""
    alert()
    before = threading.active_count()
    delivery = open_delivery(spike=Spike())
    delivery.start()
    assert threading.active_count() == before
    delivery.wake()
    delivery.close()
    assert rows(store)[0].state == "new"


def test_a_slow_service_delays_no_call(
    service: Service,
    open_delivery: Open,
    store: Store,
    take: Take,
    clock: SimpleNamespace,
) -> None:
    """While a service does not answer, holds are taken and settled as usual; the alerts are sent later."""
    service.proceed.clear()
    delivery = open_delivery(f"{service.url}/?rto={WAIT_S}")
    ledger = Ledger(store, [DAILY], thresholds=(50,), on_alert=delivery.wake, clock=lambda: clock.now)
    delivery.start()
    for _ in range(2):
        hold = take(ledger, "0.5")
        settle(ledger, hold, "0.5")
        assert service.entered.wait(WAIT_S)
    assert service.got == []
    assert [row.state for row in rows(store)] == ["new", "new"]
    service.proceed.set()
    ledger.close()
    delivery.close()
    assert [got["title"] for got in service.got] == ["Budget daily: 50 % spent", "Budget daily: 100 % spent"]
    assert {row.state for row in rows(store)} == {"sent"}


def test_closing_sends_recorded_alerts(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store
) -> None:
    """A short program sends its alerts before it ends; closing again does nothing."""
    delivery = open_delivery(service.url)
    delivery.start()
    alert()
    delivery.close()
    delivery.close()
    assert rows(store)[0].state == "sent"


def test_the_thread_survives_a_failure(
    service: Service,
    open_delivery: Open,
    alert: Callable[..., None],
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When a round fails, that is logged, and the next round works."""
    failed, delivered = threading.Event(), threading.Event()

    def clock() -> float:
        if failed.is_set():
            return store.now()
        failed.set()
        raise OSError("the clock is broken")

    delivery = open_delivery(service.url, sinks=[lambda _: delivered.set()], clock=clock)
    delivery.start()
    assert failed.wait(WAIT_S)
    now_ms = int(store.now() * 1000)
    key = ("daily", "", "2026-11-22", 50)
    store.write(lambda database: record_alert(database, key, spent=1, limit=1, now_ms=now_ms)).result()
    delivery.wake()
    assert delivered.wait(WAIT_S)
    assert "alerts.delivery.failed" in caplog.text


def test_a_url_may_be_kept_in_the_vault(
    service: Service, open_delivery: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """``vault:NAME`` is read at each try, so that a missing URL can be added later."""
    vault: dict[str, Secret] = {}
    asked: list[str] = []

    def resolve(name: str) -> Secret:
        asked.append(name)
        return vault[name] if vault else _no_vault(name)

    alert()
    delivery = open_delivery("vault:ops-json", resolve=resolve)
    delivery.deliver_due()
    assert results_by_channel(rows(store)[0])["notify[0] vault:ops-json"].startswith("the vault holds no")
    vault["ops-json"] = Secret(service.url)
    clock.now += 60
    delivery.deliver_due()
    assert asked == ["ops-json"] * 2
    assert len(service.got) == 1


@pytest.mark.parametrize("vault", [False, True])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("json://{user}:{canary}@{host}/{canary}?+Token={canary}", None),
        ("json://{user}:{canary}@{host}/{canary}?+Token={canary}", "it answered HTTP 401"),
        ("json://{user}:{canary}@127.0.0.1:1/{canary}", "it could not be reached, or did not answer in time"),
        ("slack://{canary}", "Apprise does not know such a URL, or a part of it is missing or wrong"),
        ("nosuch://{canary}", "Apprise does not know such a URL, or a part of it is missing or wrong"),
    ],
)
def test_a_urls_secrets_are_shown_nowhere(
    service: Service,
    open_delivery: Open,
    alert: Callable[..., None],
    store: Store,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    url: str,
    reason: str | None,
    vault: bool,
) -> None:
    """No log shows them, not even Apprise's or its transport's, nor do the outbox and the repr."""
    service.statuses = [401] if reason else []
    whole = url.format(user="ann", canary=CANARY, host=service.url.removeprefix("json://"))
    alert()
    with caplog.at_level(logging.NOTSET):
        delivery = open_delivery("vault:name" if vault else whole, resolve=lambda _: Secret(whole))
        assert delivery.deliver_due() == 1
        logging.getLogger("apprise").warning("others still hear Apprise")
    assert "others still hear Apprise" in caplog.text
    (row,) = rows(store)
    results = results_by_channel(row)
    del results["sinks"]
    assert list(results.values()) == [reason or "sent"]
    seen = caplog.text + str(row.detail) + repr(delivery._channels) + "".join(capfd.readouterr())
    assert CANARY not in seen
    assert CANARY.lower() not in seen.lower()
