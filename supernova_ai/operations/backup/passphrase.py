"""The passphrase of backups: long enough, and from a file that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path

from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import open_regular, reason_of
from supernova_ai.secret import Secret

SHORTEST = 12
"""Characters."""


def checked(text: str) -> Secret:
    """Return the passphrase without the line's end.

    Raises:
        InvalidRequest: it is too short.
    """
    text = text.rstrip("\r\n")
    if len(text) < SHORTEST:
        raise InvalidRequest(
            f"the passphrase of a backup must have at least {SHORTEST} characters, and this has {len(text)}: "
            f"`openssl rand -base64 24` makes a good one"
        )
    return Secret(text)


def read_file(path: Path) -> Secret:
    """Return the passphrase in a file.

    Raises:
        InvalidRequest: it cannot be read, others may read it, or it is too short.
    """
    try:
        with open_regular(path.expanduser(), 2**20) as file:
            status = os.fstat(file.fileno())  # of the open file: the path may lead elsewhere by now
            if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o177):
                raise InvalidRequest(
                    f"the passphrase file {path} must be yours, with mode 0600: `chmod 600` it, and `chown` "
                    f"it to the user who runs this"
                )
            return checked(file.read().decode())
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise InvalidRequest(f"the passphrase file {path} cannot be read: {reason_of(error)}") from None
