"""Message authentication codes of lists of fields."""

from __future__ import annotations

from hmac import HMAC


def pack(*fields: str | int) -> bytes:
    """Encode each field after its length, so that no two lists of fields give the same bytes."""
    encoded = [str(field).encode() for field in fields]
    return b"".join(len(field).to_bytes(4, "big") + field for field in encoded)


def mac(key: HMAC, *fields: str | int) -> str:
    """Return the HMAC-SHA256 of the packed fields in hex; ``key`` itself does not change."""
    running = key.copy()
    running.update(pack(*fields))
    return running.hexdigest()
