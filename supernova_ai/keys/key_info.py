"""One version of a key, as it may be shown: its state, its fingerprint and its times; never the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from supernova_ai.audit.chain import to_datetime

State = Literal["pending", "active", "retiring", "revoked", "failed"]
"""A version is pending while its key is checked, then active, then retiring for a while, then revoked; or it
has failed. New attempts take the active version only."""


BY_HAND = "revoked by hand"
"""The reason of a version that ``supernova keys revoke`` revoked: its key has leaked."""


def rotate_command(provider: str, slot: str) -> str:
    """Return the command that rotates the slot's key.

    >>> rotate_command("openai", "backup")
    'supernova keys rotate openai --slot backup'
    """
    return f"supernova keys rotate {provider}{'' if slot == 'primary' else f' --slot {slot}'}"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of one version of a key. Equal keys have equal fingerprints.

    ``version`` is 0 if the record is damaged and holds no number. ``reason`` is why it failed or was revoked,
    ``until`` when a retiring version is revoked, ``expires`` when its key ends at the provider.
    ``check_result`` is "ok" or the class of the error.
    """

    provider: str
    slot: str
    version: int
    state: str
    fingerprint: str
    created: datetime
    reason: str | None = None
    check_result: str | None = None
    activated: datetime | None = None
    until: datetime | None = None
    expires: datetime | None = None
    checked: datetime | None = None
    used: datetime | None = None

    @property
    def place(self) -> str:
        """The provider and slot, as in the audit."""
        return f"{self.provider}/{self.slot}"

    def is_usable(self, now_ms: int) -> bool:
        """Return whether new attempts take it: it is active and has not expired."""
        return self.state == "active" and (self.expires is None or self.expires > to_datetime(now_ms))

    def is_over(self, now_ms: int) -> bool:
        """Return whether it is retiring and its grace is over; without a time, it is."""
        return self.state == "retiring" and (self.until is None or self.until <= to_datetime(now_ms))

    def audit_details(self) -> dict[str, str | int | None]:
        """Return what the audit says of the version."""
        return {"version": self.version, "fingerprint": self.fingerprint}
