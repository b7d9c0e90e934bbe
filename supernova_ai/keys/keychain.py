"""The master key in the OS keyring: refused where it would not be safe, and never waited for without end."""

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
    "give the master key another way: a systemd credential named supernova-master, SUPERNOVA_MASTER_KEY_FILE "
    "(a file of yours with mode 0600), or API_KEY_ENCRYPTION_KEY; `openssl rand -hex 32` makes one"
)

_KEY_SHAPED = re.compile(r"[0-9A-Fa-f]{32,}|[0-9A-Za-z+/_\-]{40,}=?")
"""A master key, or most of one: what an entry holds is no ``Secret`` yet when a backend fails to read it."""

_UNSAFE = ("keyrings.alt", "keyring.backends.null", "keyring.backends.fail")


class Keychain:
    """Reads and writes one store's entry in the OS keyring, as text.

    Args:
        user: the entry's user name: the store's id.
        backend: a keyring backend; None takes the one that ``keyring`` chooses.
        timeout: seconds to wait for each answer, an unlock dialog included.
        advice: what to do without it, for messages.
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
        text: object = self._ask(lambda: self._open().get_password(SERVICE, self._user))
        if text is not None and not isinstance(text, str):
            raise MasterKeyError(
                f"the keyring gave {type(text).__name__} where a text belongs. {self._advice}"
            )
        return Secret(text) if text else None

    def set(self, text: Secret) -> None:
        """Write the entry; raises as ``get`` does."""
        self._ask(lambda: self._open().set_password(SERVICE, self._user, text.reveal()))

    def _open(self) -> KeyringBackend:
        import keyring  # 0.2 s, and it may start looking for daemons: only when it is needed

        chosen = self._backend or keyring.get_keyring()
        for backend in _members(chosen):
            if not any(kind.__module__.startswith(_UNSAFE) for kind in type(backend).__mro__):
                return backend
        kind = type(chosen)
        raise MasterKeyError(
            f"the keyring here is {kind.__module__}.{kind.__qualname__}, which does not keep a master key "
            f"safe. {self._advice}"
        )

    def _ask(self, question: Callable[[], T]) -> T:
        try:  # on a thread, because a stopped daemon never answers
            return spawn("supernova-keyring", question).result(self._timeout)
        except MasterKeyError:
            raise
        except TimeoutError as error:
            raise MasterKeyError(
                f"the keyring did not answer within {self._timeout:g} s. {self._advice}"
            ) from error
        except Exception as error:  # each backend has errors of its own, and some quote what they were given
            words = f"{type(error).__name__}: {error}"
            told = _KEY_SHAPED.sub(HIDDEN, redact(words))
            failure = MasterKeyError(f"the keyring could not be used ({told}). {self._advice}")
            failure.__cause__ = error if told == words else None
        raise failure  # outside the handler, or it would lead to the backend's error all the same


def _members(backend: KeyringBackend) -> Iterator[KeyringBackend]:
    """Unwrap a chainer: it would put a secret into an unsafe member as readily as into a safe one."""
    from keyring.backends.chainer import ChainerBackend

    if isinstance(backend, ChainerBackend):
        for member in backend.backends:
            yield from _members(member)
    else:
        yield backend
