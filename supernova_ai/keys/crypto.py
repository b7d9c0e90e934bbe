"""The envelope around one API key, as pure functions: the same inputs and randomness give the same bytes.

A sealed record of format 1 is

    1 byte    the format
    12 bytes  nonce of the data key
    48 bytes  the data key (32 random bytes), encrypted under the master's wrapping key, with its tag
    12 bytes  nonce of the API key
    n + 16    the API key in UTF-8, encrypted under the data key, with its tag

Both layers are AES-256-GCM, and both are bound by associated data to the place the record was sealed for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from hmac import HMAC

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from supernova_ai.errors import KeyCorrupt
from supernova_ai.secret import Secret

FORMAT = 1

Random = Callable[[int], bytes]
"""Gives that many unpredictable bytes, as ``os.urandom`` does."""

_NONCE, _TAG, _KEY = 12, 16, 32
_WRAPPED = _KEY + _TAG
_SHORTEST = 1 + _NONCE + _WRAPPED + _NONCE + 1 + _TAG


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a record belongs. Sealed for one place, it opens at no other: all fields, in order, bind it."""

    store: str
    provider: str
    slot: str
    key_id: str
    version: int
    master_id: str


def derive(master: bytes, purpose: str) -> bytes:
    """Derive the 32-byte sub-key for one purpose from the 32-byte master (HKDF-SHA256, RFC 5869)."""
    info = f"supernova-ai/{FORMAT}/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=info).derive(master)


def pack(*fields: str | int) -> bytes:
    """Encode the fields, each with its length before it: no two lists of fields give the same bytes."""
    encoded = [str(field).encode() for field in fields]
    return b"".join(len(field).to_bytes(4, "big") + field for field in encoded)


def mac(key: HMAC, *fields: str | int) -> str:
    """Return the HMAC-SHA256 of the packed fields, in hex. The key object is not changed."""
    running = key.copy()
    running.update(pack(*fields))
    return running.hexdigest()


def fingerprint(key: HMAC, secret: Secret) -> str:
    """Return a short name for the API key, always the same, that only the master's holder can compute."""
    return f"k{FORMAT}:{mac(key, secret.reveal())[:8]}"


def seal(wrapping: AESGCM, place: Binding, secret: Secret, random: Random) -> bytes:
    """Seal the API key for its place, under a data key of its own."""
    data_key, outer, inner = random(_KEY), random(_NONCE), random(_NONCE)
    wrapped = wrapping.encrypt(outer, data_key, _bound("data key", place))
    text = AESGCM(data_key).encrypt(inner, secret.reveal().encode(), _bound("api key", place))
    return bytes([FORMAT]) + outer + wrapped + inner + text


def unseal(wrapping: AESGCM, place: Binding, record: bytes) -> Secret:
    """Open a record at its place.

    Raises:
        KeyCorrupt: it was altered, is of an unknown format, or was sealed for another place or master.
    """
    if len(record) < _SHORTEST or record[0] != FORMAT:
        raise _corrupt(place)
    outer, rest = record[1 : 1 + _NONCE], record[1 + _NONCE :]
    wrapped, rest = rest[:_WRAPPED], rest[_WRAPPED:]
    inner, text = rest[:_NONCE], rest[_NONCE:]
    try:
        # The plaintexts get no names: a traceback that shows local variables must not show them.
        cipher = AESGCM(wrapping.decrypt(outer, wrapped, _bound("data key", place)))
        return Secret(cipher.decrypt(inner, text, _bound("api key", place)).decode())
    except InvalidTag as error:
        raise _corrupt(place) from error


def _bound(layer: str, place: Binding) -> bytes:
    return pack("supernova-ai sealed key", FORMAT, layer, *astuple(place))


def _corrupt(place: Binding) -> KeyCorrupt:
    where = f"{place.provider}/{place.slot} (version {place.version})"
    return KeyCorrupt(
        f"the key record {place.key_id} of {where} does not open: it was altered, or moved from the place "
        f"it was sealed for. Add the key again with `supernova keys add {place.provider} --slot {place.slot}`"
        f", and look for the cause with `supernova keys audit`"
    )
