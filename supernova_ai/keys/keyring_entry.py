"""The master key in the OS keyring: unsafe keyrings are refused, and every access has a timeout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from supernova_ai.concurrency import spawn
from supernova_ai.errors import MasterKeyError
from supernova_ai.secret import HIDDEN, Secret, redact

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE = "supernova-ai"

ADVICE = (
    "Unlock or install a keyring (GNOME Keyring, KWallet, macOS Keychain, Windows Credential Locker), or "
    "provide the master key as a systemd credential named supernova-master, in SUPERNOVA_MASTER_KEY_FILE "
    "(a file you own, with mode 0600), or in API_KEY_ENCRYPTION_KEY; `openssl rand -hex 32` generates one, "
    "and `supernova setup --master file` makes such a file"
)

_KEY_SHAPED = re.compile(r"[0-9A-Fa-f]{32,}|[0-9A-Za-z+/_\-]{40,}=?")
"""A master key or most of one. A backend's error may quote the entry before it is a ``Secret``."""

_UNSAFE = ("keyrings.alt", "keyring.backends.null", "keyring.backends.fail")


class KeyringEntry:
    """Reads and writes one store's entry in the OS keyring, as text.

    Args:
        user: user name of the entry: the store's id.
        backend: a keyring backend; None takes the one that ``keyring`` chooses.
        timeout: seconds to wait for each access, including an unlock dialog.
        advice: what to do if the keyring cannot be used, for messages.
    """

    def __init__(
        self, user: str, *, backend: KeyringBackend | None, timeout: float, advice: str = ADVICE
    ) -> None:
        self._user = user
        self._backend = backend
        self._timeout = timeout
        self._advice = advice

    def get(self) -> Secret | None:
        """Return the entry, or None if there is none.

        Raises:
            MasterKeyError: the keyring is unsafe, locked, broken, or does not answer.
        """
        text: object = self._call(lambda: self._open().get_password(SERVICE, self._user))
        if text is not None and not isinstance(text, str):
            raise MasterKeyError(
                f"the keyring returned {type(text).__name__} instead of text. {self._advice}"
            )
        return Secret(text) if text else None

    def set(self, text: Secret) -> None:
        """Write the entry; raises as ``get`` does."""
        self._call(lambda: self._open().set_password(SERVICE, self._user, text.reveal()))

    def delete(self) -> None:
        """Delete the entry, if there is one; raises as ``get`` does."""
        if self.get() is not None:
            self._call(lambda: self._open().delete_password(SERVICE, self._user))

    def _open(self) -> KeyringBackend:
        import keyring  # here: it takes 0.2 s and may look for daemons

        chosen = self._backend or keyring.get_keyring()
        for backend in _members(chosen):
            if not any(kind.__module__.startswith(_UNSAFE) for kind in type(backend).__mro__):
                return backend
        kind = type(chosen)
        raise MasterKeyError(
            f"the keyring {kind.__module__}.{kind.__qualname__} is not safe for a master key. {self._advice}"
        )

    def _call(self, access: Callable[[], T]) -> T:
        try:  # on a thread, because a stopped daemon never answers
            return spawn("supernova-keyring", access).result(self._timeout)
        except MasterKeyError:
            raise
        except TimeoutError as error:
            raise MasterKeyError(
                f"the keyring did not answer within {self._timeout:g} s. {self._advice}"
            ) from error
        except Exception as error:  # backends define their own errors, and some quote the password
            reason = f"{type(error).__name__}: {error}"
            shown = _KEY_SHAPED.sub(HIDDEN, redact(reason))
            failure = MasterKeyError(f"the keyring could not be used ({shown}). {self._advice}")
            failure.__cause__ = error if shown == reason else None
        raise failure  # outside the handler: inside, __context__ would hold the backend's error


def _members(backend: KeyringBackend) -> Iterator[KeyringBackend]:
    """Unwrap a chainer: it writes to unsafe members as readily as to safe ones."""
    from keyring.backends.chainer import ChainerBackend

    if isinstance(backend, ChainerBackend):
        for member in backend.backends:
            yield from _members(member)
    else:
        yield backend
