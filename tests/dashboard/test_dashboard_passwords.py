"""Hashes of passwords, the throttle of sign-ins, and the users in the database."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from supernova_ai.dashboard import passwords as hashing
from supernova_ai.dashboard import users
from supernova_ai.dashboard.access import Role
from supernova_ai.dashboard.passwords import Passwords
from supernova_ai.dashboard.throttle import Throttle
from supernova_ai.errors import InvalidRequest
from supernova_ai.keys import Vault
from supernova_ai.store import Store, bulk
from tests.clients import vault_of
from tests.dashboard.conftest import CHEAP
from tests.waiting import until

LONG = "a long enough password"


def test_the_usual_cost_is_what_owasp_recommends() -> None:
    """Argon2id over 19 MiB, two passes, one lane; a salt of its own for each hash."""
    one, other = Passwords().hash(LONG), Passwords().hash(LONG)
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other


async def test_a_hash_has_one_password() -> None:
    """However its characters are composed; a damaged hash, or none, has no password."""
    passwords = Passwords(CHEAP)
    composed, decomposed = "caf\u00e9 latte, please", "cafe\u0301 latte, please"
    stored = passwords.hash(composed)
    assert await passwords.match(decomposed, stored)
    for given, kept in ((composed[:-1], stored), ("", stored), (composed, stored[:-1]), (composed, None)):
        assert not await passwords.match(given, kept)
    assert not await passwords.match(composed, "$argon2id$v=19$")
    assert not await passwords.match("\ud800", stored)


async def test_a_name_that_nobody_has_costs_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash of the same cost is checked, from the first time on."""
    checked: list[str] = []

    class Watched:
        def __new__(cls, **cost: Any) -> Argon2id:  # type: ignore[misc]
            return Argon2id(**cost)

        @staticmethod
        def verify_phc_encoded(password: bytes, stored: str) -> None:
            checked.append(stored)
            Argon2id.verify_phc_encoded(password, stored)

    monkeypatch.setattr(hashing, "Argon2id", Watched)
    passwords = Passwords(CHEAP)
    assert not await passwords.match(LONG, None)
    assert await passwords.match(LONG, passwords.hash(LONG))
    assert {stored.rpartition("$")[0].rpartition("$")[0] for stored in checked} == {
        "$argon2id$v=19$m=8,t=1,p=1"
    }
    assert len(checked) == 2


@pytest.mark.parametrize("length", [0, 11, 1001])
def test_the_length_of_a_password(length: int) -> None:
    """The error names the limits and the length, and not the password."""
    with pytest.raises(InvalidRequest, match=f"must have 12 to 1,000 characters; this one has {length:,}$"):
        Passwords(CHEAP).hash("x" * length)


async def test_two_passwords_at_most_are_checked_at_once() -> None:
    """Each check takes memory, which strangers must not be able to fill; the event loop goes on meanwhile."""
    running, most, release = 0, 0, threading.Event()
    lock = threading.Lock()

    class Slow(Passwords):
        def _matches(self, password: str, stored: str | None) -> bool:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            release.wait(30)
            with lock:
                running -= 1
            return True

    slow = Slow(CHEAP)
    checks = [asyncio.create_task(slow.match(LONG, None)) for _ in range(6)]
    await until(lambda: running == 2)
    release.set()
    assert all(await asyncio.gather(*checks))
    assert most == 2


def test_tries_at_the_same_time_gain_nothing(clock: SimpleNamespace) -> None:
    """A try counts from its beginning: of many that begin together, only the free ones are checked."""
    throttle = Throttle(lambda: clock.now)
    assert [throttle.begin("ann", f"192.0.2.{number}") == 0 for number in range(8)] == [True] * 3 + [
        False
    ] * 5
    throttle.succeeded("ann", "192.0.2.0")
    assert throttle.begin("ann", "192.0.2.0") == 0


def test_waits_have_an_end(clock: SimpleNamespace) -> None:
    """A wait is a minute at most, and a quarter of an hour without a try forgets the failures."""
    throttle = Throttle(lambda: clock.now)
    waits = []
    for _ in range(12):
        clock.now += throttle.begin("ann", "")
        waits.append(throttle.begin("ann", ""))
        clock.now += waits[-1]
    assert max(waits) == 60
    clock.now += 15 * 60
    assert [throttle.begin("ann", "") for _ in range(3)] == [0, 0, 0]


def test_a_visitor_with_ipv6_has_one_network(clock: SimpleNamespace) -> None:
    """Another address of the same 64 bits is no new visitor; another IPv4 address is."""
    throttle = Throttle(lambda: clock.now)
    waits = [throttle.begin(f"a{number}", f"2001:db8::{number:x}") for number in range(21)]
    assert (waits[:20], waits[20] > 0) == ([0] * 20, True)
    assert throttle.begin("other", "2001:db8:0:1::1") == 0
    assert [throttle.begin(f"b{number}", f"192.0.2.{number}") for number in range(21)] == [0] * 21


def test_names_that_were_tried_take_little_memory(clock: SimpleNamespace) -> None:
    """The oldest of very many are forgotten."""
    throttle = Throttle(lambda: clock.now)
    for number in range(12_000):
        throttle.begin(str(number), str(number))
    assert (throttle.failures("0"), throttle.failures("11999")) == (0, 1)


@pytest.fixture
def vault(store: Store) -> Vault:
    vault = vault_of(store)
    hashed = Passwords(CHEAP).hash(LONG)
    for name in ("ben", "ann"):
        vault.audited(
            lambda database, record, name=name: users.add(  # type: ignore[misc]
                database, record, 1000, name=name, role=Role.VIEWER, password_hash=hashed
            )
        )
    return vault


def test_the_users_of_the_database(store: Store, vault: Vault) -> None:
    """They are sorted, each change has its row in the audit, and each that ends sessions is a later one."""
    assert list(store.read(users.every_user)) == ["ann", "ben"]

    def ann() -> users.User:
        found = store.read(lambda database: users.find(database, "ann"))
        assert found
        return found

    now_ms = 500  # the clock was set back
    vault.audited(lambda d, record: users.set_role(d, record, now_ms, name="ann", role=Role.ADMIN))
    assert (ann().role, ann().changed_ms) == (Role.ADMIN, 1001)
    vault.audited(lambda d, record: users.set_password(d, record, now_ms, name="ann", password_hash="h"))
    assert (ann().password, ann().changed_ms) == ("h", 1002)
    vault.audited(lambda d, record: users.disable(d, record, now_ms, name="ann"))
    assert (ann().state(now_ms), ann().changed_ms) == ("disabled", 1003)
    vault.audited(lambda d, record: users.unlock(d, record, now_ms, name="ann"))
    assert (ann().state(now_ms), ann().changed_ms) == ("active", 1003)
    vault.audited(lambda d, record: users.remove(d, record, now_ms, name="ann"))
    assert list(store.read(users.every_user)) == ["ben"]
    assert [event.event for event in vault.audit_events() if event.subject == "ann"] == [
        "dashboard.user.added",
        "dashboard.user.role.set",
        "dashboard.user.password.set",
        "dashboard.user.disabled",
        "dashboard.user.unlocked",
        "dashboard.user.removed",
    ]
    assert vault.verify_audit().ok


@pytest.mark.parametrize("column", ["role", "state"])
def test_a_damaged_user_is_none(store: Store, vault: Vault, column: str) -> None:
    """Who has a role or a state that there is not cannot sign in."""
    change = f"UPDATE dashboard_user SET {column} = 'root' WHERE name = 'ann'"
    store.write(lambda database: bulk.run(database, change)).result()
    assert list(store.read(users.every_user)) == ["ben"]


@pytest.mark.parametrize("name", ["", "Ann", "a b", "-ann", "ann\n", "a" * 65, "ä", "sso:ann"])
def test_names_that_no_user_may_have(name: str) -> None:
    """Names are easy to type, and no name of single sign-on is among them."""
    with pytest.raises(InvalidRequest, match="the name of a user must be 1 to 64 of the letters a to z"):
        users.check_name(name)
