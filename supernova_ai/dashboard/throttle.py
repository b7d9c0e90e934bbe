"""The throttle of sign-ins: after some failures, each further try has to wait, twice as long each time.

It counts by the name and by the address. A try counts as a failure when it begins, so that many at the same
time gain nothing; ``succeeded`` takes that back. What was counted is forgotten some time after the last try.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_OF_NAME, FREE_OF_ADDRESS = 3, 20
"""Failures before the first wait. People behind one proxy share its address."""

LONGEST_S = 60.0
FORGOTTEN_S = 15 * 60

_MOST_KEPT = 10_000


@dataclass(slots=True)
class _Tries:
    failures: int = 0
    last: float = 0.0
    next: float = 0.0


class Throttle:
    """The failures of one dashboard. Not for several threads.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names: OrderedDict[str, _Tries] = OrderedDict()
        self._addresses: OrderedDict[str, _Tries] = OrderedDict()

    def begin(self, name: str, address: str) -> float:
        """Count a try, and return 0; or count nothing, and return the seconds until one is allowed."""
        now = self._clock()
        both = (
            (self._of(self._names, name, now), FREE_OF_NAME),
            (self._of(self._addresses, _network(address), now), FREE_OF_ADDRESS),
        )
        wait = max(tries.next for tries, _ in both) - now
        if wait > 0:
            return wait
        for tries, free in both:
            tries.failures += 1
            tries.last = now
            over = tries.failures - free
            tries.next = now + min(LONGEST_S, 2.0 ** min(over, 10)) if over >= 0 else now
        return 0.0

    def failures(self, name: str) -> int:
        """Return how many tries of a name have failed since the last that succeeded."""
        return self._names[name].failures if name in self._names else 0

    def forget(self, name: str) -> None:
        """Forget the failures of a name."""
        self._names.pop(name, None)

    def succeeded(self, name: str, address: str) -> None:
        """Take back a try that was no failure. The address keeps its other failures."""
        self.forget(name)
        if tries := self._addresses.get(_network(address)):
            tries.failures -= 1
            tries.next = self._clock()

    def _of(self, kept: OrderedDict[str, _Tries], key: str, now: float) -> _Tries:
        tries = kept.setdefault(key, _Tries())
        if now - tries.last >= FORGOTTEN_S:
            tries.failures, tries.next = 0, now
        kept.move_to_end(key)
        if len(kept) > _MOST_KEPT:
            kept.popitem(last=False)
        return tries


def _network(address: str) -> str:
    """Return what one visitor has: the address, or of IPv6 the network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
