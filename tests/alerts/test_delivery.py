"""Alerts reach people: once, again if they could not be reached, and never at the cost of a call."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from supernova_ai.alerts import delivery as courier
from supernova_ai.alerts.delivery import AlertDelivery
from supernova_ai.alerts.outbox import AlertEvent, acknowledge, outbox
from supernova_ai.config import Alerts, Budget, Spike
from supernova_ai.errors import KeyNotFound
from supernova_ai.ledger import End, Hold, Ledger
from supernova_ai.ledger.rollups import HOUR_MS
from supernova_ai.ledger.thresholds import record
from supernova_ai.money import to_nano
from supernova_ai.secret import Secret
from supernova_ai.store import Store
from supernova_ai.store.tables import AlertRow
from supernova_ai.types import Usage
from tests.alerts.alerting import WAIT_S, Service, delivery, spend
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
def open_courier(store: Store, clock: SimpleNamespace) -> Iterator[Open]:
    """Make a courier for these URLs; it is closed when the test ends."""
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
    """Record an alert of the daily budget at so many percent."""

    def add(threshold: int = 50) -> None:
        key = ("daily", "", "2026-11-22", threshold)
        amounts = {"spent": to_nano("0.01") * threshold, "limit": to_nano(1)}
        store.write(lambda database: record(database, key, **amounts, now_ms=int(clock.now * 1000))).result()

    return add


def rows(store: Store) -> list[AlertRow]:
    return store.read(lambda database: outbox(database, acknowledged=True))


def test_a_message_arrives_once(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store
) -> None:
    """Apprise delivers title and text to the URL; the alert is then sent, and not sent again."""
    alert(80)
    courier = open_courier(service.url)
    assert [courier.work(), courier.work()] == [1, 0]
    (got,) = service.got
    assert got["title"] == "Budget daily: 80 % spent"
    assert got["message"] == (
        "$0.80 of $1.00 (80 %) of the budget daily is spent in 2026-11-22. "
        "It resets on 2026-11-23 at 00:00 UTC."
    )
    assert got["type"] == "warning"
    (row,) = rows(store)
    assert (row.state, row.tries, delivery(row)["notify[0] json"]) == ("sent", 1, "sent")


@pytest.mark.parametrize("wanted", ["", "?redirect=yes"])
def test_an_alert_follows_no_redirect(
    wanted: str, service: Service, open_courier: Open, alert: Callable[..., None], store: Store
) -> None:
    """Neither the message nor the URL's tokens go where a service points, even if the URL asks for it."""
    alert()
    to = service.url.replace("json://", "http://")
    with Server(lambda _: (307, {"location": to}, b"")) as first:
        open_courier(first.url.replace("http://", "json://") + f"/{wanted}").work()
    assert (len(first.sent), service.got) == (1, [])
    (row,) = rows(store)
    assert delivery(row)["notify[0] json"] == "it answered HTTP 307"


def test_an_alert_s_url_may_not_switch_certificates_off(
    open_courier: Open, alert: Callable[..., None], store: Store
) -> None:
    """Nothing is sent to a URL with ``verify=no`` unless the configuration allows it."""
    alert()
    with Server(lambda _: (200, {}, b"")) as server:
        url = server.url.replace("http://", "json://") + "/?verify=no"
        open_courier(url).work()
        assert server.sent == []
        (row,) = rows(store)
        assert "verify_tls" in delivery(row)["notify[0] json"]
        store.write(lambda database: AlertRow.update(next_ms=0).execute(database)).result()
        open_courier(url, verify_tls=False).work()
        assert len(server.sent) == 1


def test_a_service_that_failed_is_tried_again_alone(
    services: Callable[[], Service],
    open_courier: Open,
    alert: Callable[..., None],
    store: Store,
    clock: SimpleNamespace,
) -> None:
    """Not before its time, then again, and who has had the message does not get it twice."""
    good, bad = services(), services()
    bad.statuses = [503]
    alert()
    courier = open_courier(good.url, bad.url)
    assert courier.work() == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("new", 1)
    assert delivery(row)["notify[1] json"] == "it answered HTTP 503"
    clock.now += 59
    assert courier.work() == 0
    clock.now += 1
    assert courier.work() == 1
    assert [len(good.got), len(bad.got)] == [1, 2]
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", 2)


def test_a_dead_service_is_given_up(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """Each try comes twice as long after the one before, an hour at most; after the last it has failed."""
    service.close()
    alert()
    courier_ = open_courier(service.url)
    waits = []
    for _ in range(courier.TRIES):
        assert courier_.work() == 1
        (row,) = rows(store)
        waits.append(row.next_ms / 1000 - clock.now)
        clock.now = row.next_ms / 1000
    assert waits[:-1] == [60, 120, 240, 480, 960, 1920, 3600]
    assert (row.state, row.tries) == ("failed", courier.TRIES)
    assert "could not be reached" in delivery(row)["notify[0] json"]
    clock.now += 7200
    assert courier_.work() == 0


def test_a_last_try_that_died_is_taken_over(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """An alert whose process died in the last of its tries is tried once more, and sent or given up."""
    alert()
    courier_ = open_courier(service.url)
    for _ in range(courier.TRIES):
        claimed = store.write(courier_._claim).result()  # and nothing after: it died
        assert claimed is not None
        clock.now = claimed.next_ms / 1000
    assert courier_.work() == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", courier.TRIES + 1)


def test_several_couriers_send_each_alert_once(
    where: str, service: Service, alert: Callable[..., None], clock: SimpleNamespace, store: Store
) -> None:
    """Four couriers, each over a connection of its own, share the work and repeat nothing."""
    for threshold in range(1, 21):
        alert(threshold)
    together = threading.Barrier(4)

    def run() -> None:
        with Store(where) as own:
            courier = AlertDelivery(
                own,
                [DAILY],
                Alerts(notify=(service.url,), spike=QUIET),
                resolve=_no_vault,
                clock=lambda: clock.now,
            )
            together.wait()
            courier.work()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got["title"] for got in service.got) == sorted(
        f"Budget daily: {threshold} % spent" for threshold in range(1, 21)
    )
    assert {row.state for row in rows(store)} == {"sent"}


def test_a_courier_that_dies_is_taken_over_when_its_lease_ends(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """What a dead process had claimed is left alone while its lease lasts, and sent by another after."""

    def die(_: AlertEvent) -> None:
        raise SystemExit

    alert()
    with pytest.raises(SystemExit):
        open_courier(sinks=[die]).work()
    other = open_courier(service.url)
    clock.now += 59
    assert other.work() == 0
    clock.now += 1
    assert other.work() == 1
    assert len(service.got) == 1
    (row,) = rows(store)
    assert (row.state, row.tries) == ("sent", 2)


def test_who_lost_its_lease_changes_nothing(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """A courier that was too slow does not overwrite what the one after it has written."""
    service.statuses = [503]
    alert()

    def be_slow(_: AlertEvent) -> None:
        clock.now += 3600
        assert open_courier(service.url).work() == 1

    open_courier("json://127.0.0.1:1/", sinks=[be_slow]).work()
    (row,) = rows(store)
    assert (row.state, row.tries, row.next_ms / 1000 - clock.now) == ("new", 2, 120)
    assert "HTTP 503" in delivery(row)["notify[0] json"]


def test_acknowledged_and_old_alerts_are_not_sent(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """Who has seen an alert is not told again, and a first URL does not bring the past."""
    alert(50)
    store.write(acknowledge).result()
    alert(80)
    clock.now += courier.STALE_S
    alert(100)
    assert open_courier(service.url).work() == 1
    assert [got["title"] for got in service.got] == ["Budget daily: 100 % spent"]


def test_sinks_are_called_and_cannot_do_harm(
    open_courier: Open, alert: Callable[..., None], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Each function gets the event; what one raises is logged, stops no other and is not retried."""
    events: list[AlertEvent] = []

    def broken(_: AlertEvent) -> None:
        raise ValueError("no")

    alert(80)
    assert open_courier(sinks=[broken, events.append]).work() == 1
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


def test_sinks_are_not_called_again_for_a_service_that_failed(
    service: Service, open_courier: Open, alert: Callable[..., None], clock: SimpleNamespace
) -> None:
    """When only a URL has to be tried again, functions are not called a second time."""
    service.statuses = [500]
    events: list[AlertEvent] = []
    alert()
    courier = open_courier(service.url, sinks=[events.append])
    courier.work()
    clock.now += 60
    courier.work()
    assert [len(service.got), len(events)] == [2, 1]


def test_a_spike_is_found_and_told(
    service: Service, open_courier: Open, store: Store, clock: SimpleNamespace
) -> None:
    """The courier itself looks for spikes, every few minutes and not at every round."""
    hour = int(clock.now * 1000) // HOUR_MS

    for day in range(1, 10):
        spend(store, hour - 24 * day, "1")
    courier = open_courier(service.url, spike=Spike())
    assert courier.work() == 0
    spend(store, hour, "20")
    clock.now += 299
    assert courier.work() == 0
    clock.now += 1
    assert courier.work() == 1
    (got,) = service.got
    assert got["title"] == "$20.00 spent today, usual is $1.00"
    assert got["type"] == "failure"


def test_without_anybody_to_tell_there_is_no_thread(
    open_courier: Open, alert: Callable[..., None], store: Store
) -> None:
    """No URL and no function: nothing is started, and the alert waits in the outbox."""
    alert()
    before = threading.active_count()
    courier = open_courier(spike=Spike())
    courier.start()
    assert threading.active_count() == before
    courier.wake()
    courier.close()
    assert rows(store)[0].state == "new"


def test_a_slow_service_delays_no_call(
    service: Service,
    open_courier: Open,
    store: Store,
    take: Callable[..., Hold],
    clock: SimpleNamespace,
) -> None:
    """While a service keeps the courier waiting, money is taken and settled as ever; then it is told."""
    service.proceed.clear()
    courier = open_courier(f"{service.url}/?rto={WAIT_S}")
    ledger = Ledger(store, [DAILY], thresholds=(50,), on_alert=courier.wake, clock=lambda: clock.now)
    courier.start()
    for _ in range(2):
        hold = take(ledger, "0.5")
        assert ledger.end(hold, End("settled", hold.amount, "exact", Usage(), 0)).result()
        assert service.entered.wait(WAIT_S)
    assert service.got == []
    assert [row.state for row in rows(store)] == ["new", "new"]
    service.proceed.set()
    ledger.close()
    courier.close()
    assert [got["title"] for got in service.got] == ["Budget daily: 50 % spent", "Budget daily: 100 % spent"]
    assert {row.state for row in rows(store)} == {"sent"}


def test_closing_sends_what_was_just_recorded(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store
) -> None:
    """A short program that ends at once has still told what it recorded; closing again does nothing."""
    courier = open_courier(service.url)
    courier.start()
    alert()
    courier.close()
    courier.close()
    assert rows(store)[0].state == "sent"


def test_the_thread_outlives_a_failure(
    service: Service,
    open_courier: Open,
    alert: Callable[..., None],
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When the database cannot be used for a while, the courier says so and goes on after."""
    failed, told = threading.Event(), threading.Event()

    def clock() -> float:
        if failed.is_set():
            return store.now()
        failed.set()
        raise OSError("the clock is broken")

    courier = open_courier(service.url, sinks=[lambda _: told.set()], clock=clock)
    courier.start()
    assert failed.wait(WAIT_S)
    now_ms = int(store.now() * 1000)
    key = ("daily", "", "2026-11-22", 50)
    store.write(lambda database: record(database, key, spent=1, limit=1, now_ms=now_ms)).result()
    courier.wake()
    assert told.wait(WAIT_S)
    assert "alerts.courier.failed" in caplog.text


def test_a_url_may_be_kept_in_the_vault(
    service: Service, open_courier: Open, alert: Callable[..., None], store: Store, clock: SimpleNamespace
) -> None:
    """vault:NAME is asked for by its name at each try, so that a missing one can be added."""
    vault: dict[str, Secret] = {}
    asked: list[str] = []

    def resolve(name: str) -> Secret:
        asked.append(name)
        return vault[name] if vault else _no_vault(name)

    alert()
    courier = open_courier("vault:ops-json", resolve=resolve)
    courier.work()
    assert delivery(rows(store)[0])["notify[0] vault:ops-json"].startswith("the vault holds no")
    vault["ops-json"] = Secret(service.url)
    clock.now += 60
    courier.work()
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
def test_a_url_s_secrets_are_nowhere(
    service: Service,
    open_courier: Open,
    alert: Callable[..., None],
    store: Store,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    url: str,
    reason: str | None,
    vault: bool,
) -> None:
    """No log, Apprise's and its transport's included, shows them, nor do the outbox and repr."""
    service.statuses = [401] if reason else []
    whole = url.format(user="ann", canary=CANARY, host=service.url.removeprefix("json://"))
    alert()
    with caplog.at_level(logging.NOTSET):
        courier = open_courier("vault:place" if vault else whole, resolve=lambda _: Secret(whole))
        assert courier.work() == 1
        logging.getLogger("apprise").warning("others still hear Apprise")
    assert "others still hear Apprise" in caplog.text
    (row,) = rows(store)
    said = delivery(row)
    del said["sinks"]
    assert list(said.values()) == [reason or "sent"]
    seen = caplog.text + str(row.detail) + repr(courier._addresses) + "".join(capfd.readouterr())
    assert CANARY not in seen
    assert CANARY.lower() not in seen.lower()
