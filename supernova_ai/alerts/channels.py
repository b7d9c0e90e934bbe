"""Channels: send one message to one Apprise URL, whose tokens reach no log, error or table."""

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
from supernova_ai.config.fields import VAULT_PREFIX, notify_name
from supernova_ai.errors import SupernovaError
from supernova_ai.secret import Secret, redact

if TYPE_CHECKING:
    from apprise import AppriseAsset

Resolve = Callable[[str], Secret]
"""Returns the URL that the vault keeps under a name."""

_LOGGERS = (
    "apprise",
    "oauthlib.oauth1.rfc5849",
    "requests_oauthlib.oauth1_auth",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
_STATUS = re.compile(r"error=(\d{3})\b")


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of ``alerts.notify``. Its name has the entry's index and kind, and no secret."""

    name: str
    url: str = field(repr=False)
    resolve: Resolve = field(repr=False)
    verify_tls: bool

    def send(self, message: Message) -> str | None:
        """Send the message; return None if the service accepted it, else the reason without any secret.

        This takes up to the service's timeouts: some seconds, unless the URL sets others.
        """
        name = self.url.removeprefix(VAULT_PREFIX)
        try:
            url = Secret(self.url) if name == self.url else self.resolve(name)
        except SupernovaError as error:
            return redact(str(error))
        with _captured_logs() as logged:
            try:
                return _send(url, message, logged, verify_tls=self.verify_tls)
            except Exception as error:  # any plugin may raise anything; the text may contain the URL
                return f"Apprise failed with {type(error).__name__}"


def channels(urls: Iterable[str], resolve: Resolve, *, verify_tls: bool) -> tuple[Channel, ...]:
    """Return the channels of ``alerts.notify``."""
    return tuple(
        Channel(f"notify[{i}] {notify_name(url)}", url, resolve, verify_tls) for i, url in enumerate(urls)
    )


def is_valid(url: str) -> bool:
    """Say whether Apprise knows such a URL and finds every part that it needs; nothing is sent."""
    from apprise import Apprise

    with _captured_logs():
        return Apprise.instantiate(url, asset=_asset()) is not None


def _send(url: Secret, message: Message, logged: list[str], *, verify_tls: bool) -> str | None:
    from apprise import Apprise, NotifyFormat, NotifyType  # half a second, and seldom needed

    service = Apprise.instantiate(url.reveal(), asset=_asset())
    if service is None:
        return "Apprise does not know such a URL, or a part of it is missing or wrong"
    if verify_tls and not service.verify_certificate:
        return "its URL disables the check of certificates: remove 'verify=no', or set 'verify_tls: false'"
    service.redirects = False  # whatever the URL says: another server would get its tokens and the message
    # The service itself, not Apprise.notify, whose thread pool would delay the program's exit.
    accepted = service.notify(
        title=message.title,
        body=message.text,
        notify_type=NotifyType.FAILURE if message.urgent else NotifyType.WARNING,
        body_format=NotifyFormat.TEXT,
    )
    if accepted:
        return None
    status = next((found[1] for text in logged if (found := _STATUS.search(text))), None)
    return f"it answered HTTP {status}" if status else "it could not be reached, or did not answer in time"


@cache
def _asset() -> AppriseAsset:
    from apprise import AppriseAsset

    return AppriseAsset(app_id="SuperNova AI", app_desc="SuperNova AI", app_url="")


_capture = threading.local()


class _CaptureFilter(logging.Filter):
    """Withholds from every handler what this thread logs while it sends: the text may contain tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        logged: list[str] | None = getattr(_capture, "logged", None)
        if logged is None:
            return True
        logged.append(record.getMessage())
        return False


@contextmanager
def _captured_logs() -> Iterator[list[str]]:
    """Yield the list of what Apprise and its transports log on this thread inside the block."""
    _add_filter()
    _capture.logged = []
    try:
        yield _capture.logged
    finally:
        _capture.logged = None


@cache
def _add_filter() -> None:
    capture = _CaptureFilter()
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(capture)
