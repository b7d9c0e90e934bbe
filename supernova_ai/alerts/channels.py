"""Telling people: one message to one Apprise URL, whose tokens reach no log, error or table."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from supernova_ai.alerts.outbox import Message
from supernova_ai.config.fields import VAULT, notify_name
from supernova_ai.errors import SupernovaError
from supernova_ai.secret import Secret, redact

if TYPE_CHECKING:
    from apprise import AppriseAsset

Resolve = Callable[[str], Secret]
"""Gives the URL that the vault keeps under a name."""

_TALKATIVE = (
    "apprise",
    "oauthlib.oauth1.rfc5849",
    "requests_oauthlib.oauth1_auth",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
_STATUS = re.compile(r"error=(\d{3})\b")


@dataclass(frozen=True, slots=True)
class Address:
    """One entry of ``alerts.notify``. Its name shows the place and the kind, and no secret."""

    name: str
    url: str = field(repr=False)
    resolve: Resolve = field(repr=False)
    verify_tls: bool = True

    def send(self, message: Message) -> str | None:
        """Send the message; return None when the service took it, else why not, without any secret.

        It may take as long as the service's timeouts allow: some seconds, unless the URL says otherwise.
        """
        name = self.url.removeprefix(VAULT)
        try:
            url = Secret(self.url) if name == self.url else self.resolve(name)
        except SupernovaError as error:
            return redact(str(error))
        with _overheard() as said:
            try:
                return _send(url, message, said, verify_tls=self.verify_tls)
            except Exception as error:  # of any plugin; its text may hold the URL
                return f"Apprise failed with {type(error).__name__}"


def addresses(urls: Iterable[str], resolve: Resolve, *, verify_tls: bool = True) -> tuple[Address, ...]:
    """Return the addresses of ``alerts.notify``."""
    return tuple(
        Address(f"notify[{i}] {notify_name(url)}", url, resolve, verify_tls) for i, url in enumerate(urls)
    )


def known(url: str) -> bool:
    """Say whether Apprise knows such a URL and finds every part that it needs; nothing is sent."""
    from apprise import Apprise

    with _overheard():
        return Apprise.instantiate(url, asset=_asset()) is not None


def _send(url: Secret, message: Message, said: list[str], *, verify_tls: bool) -> str | None:
    from apprise import Apprise, NotifyFormat, NotifyType  # half a second, and seldom needed

    service = Apprise.instantiate(url.reveal(), asset=_asset())
    if service is None:
        return "Apprise does not know such a URL, or a part of it is missing or wrong"
    if verify_tls and not service.verify_certificate:
        return (
            "its URL switches the check of certificates off: remove 'verify=no', or set 'verify_tls: false'"
        )
    service.redirects = False  # whatever the URL says: the next server would get its tokens and the message
    # The service itself, not Apprise.notify: that one uses a pool of threads a program must wait for at exit.
    taken = service.notify(
        title=message.title,
        body=message.text,
        notify_type=NotifyType.FAILURE if message.urgent else NotifyType.WARNING,
        body_format=NotifyFormat.TEXT,
    )
    if taken:
        return None
    status = next((found[1] for text in said if (found := _STATUS.search(text))), None)
    return f"it answered HTTP {status}" if status else "it could not be reached, or did not answer in time"


@cache
def _asset() -> AppriseAsset:
    from apprise import AppriseAsset

    return AppriseAsset(app_id="SuperNova AI", app_desc="SuperNova AI", app_url="")


_ears = threading.local()


class _Overhear(logging.Filter):
    """Keeps from every handler what is logged while this thread sends: it may hold tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        said: list[str] | None = getattr(_ears, "said", None)
        if said is None:
            return True
        said.append(record.getMessage())
        return False


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Give the list of what Apprise and its transports log on this thread meanwhile."""
    _listen()
    _ears.said = []
    try:
        yield _ears.said
    finally:
        _ears.said = None


@cache
def _listen() -> None:
    overhear = _Overhear()
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(overhear)
