"""Envelope encryption of one API key, as pure functions: equal inputs and randomness give equal bytes.

A sealed record of format 1 is

    1 byte    the format
    12 bytes  nonce of the data key
    48 bytes  the data key (32 random bytes), encrypted under the master's wrapping key, with its tag
    12 bytes  nonce of the API key
    n + 16    the API key in UTF-8, encrypted under the data key, with its tag

Both layers are AES-256-GCM. Associated data binds both to the place of the record, which ``Binding`` lists.
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
from supernova_ai.mac import mac, pack
from supernova_ai.secret import Secret

FORMAT = 1

Random = Callable[[int], bytes]
"""Returns the given number of unpredictable bytes, as ``os.urandom`` does."""

_NONCE, _TAG, _KEY = 12, 16, 32
_WRAPPED = _KEY + _TAG
_SHORTEST = 1 + _NONCE + _WRAPPED + _NONCE + 1 + _TAG


@dataclass(frozen=True, slots=True)
class Binding:
    """The associated data of a record, in this order: with any other value the record does not decrypt."""

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


def fingerprint(key: HMAC, secret: Secret) -> str:
    """Return a short, stable name of the API key that only the holder of the master can compute."""
    return f"k{FORMAT}:{mac(key, secret.reveal())[:8]}"


def seal(wrapping: AESGCM, binding: Binding, secret: Secret, random: Random) -> bytes:
    """Encrypt the API key under a new data key, bound to its place in the vault."""
    data_key, outer, inner = random(_KEY), random(_NONCE), random(_NONCE)
    wrapped = wrapping.encrypt(outer, data_key, _associated_data("data key", binding))
    text = AESGCM(data_key).encrypt(inner, secret.reveal().encode(), _associated_data("api key", binding))
    return bytes([FORMAT]) + outer + wrapped + inner + text


def unseal(wrapping: AESGCM, binding: Binding, record: bytes) -> Secret:
    """Decrypt a record.

    Raises:
        KeyCorrupt: it was altered, has an unknown format, or was sealed with another binding or master.
    """
    if len(record) < _SHORTEST or record[0] != FORMAT:
        raise _corrupt(binding)
    outer, rest = record[1 : 1 + _NONCE], record[1 + _NONCE :]
    wrapped, rest = rest[:_WRAPPED], rest[_WRAPPED:]
    inner, text = rest[:_NONCE], rest[_NONCE:]
    try:
        # No variable holds a plaintext: a traceback with local variables would show it.
        cipher = AESGCM(wrapping.decrypt(outer, wrapped, _associated_data("data key", binding)))
        return Secret(cipher.decrypt(inner, text, _associated_data("api key", binding)).decode())
    except InvalidTag as error:
        raise _corrupt(binding) from error


def _associated_data(layer: str, binding: Binding) -> bytes:
    return pack("supernova-ai sealed key", FORMAT, layer, *astuple(binding))


def _corrupt(binding: Binding) -> KeyCorrupt:
    where = f"{binding.provider}/{binding.slot} (version {binding.version})"
    return KeyCorrupt(
        f"the key record {binding.key_id} of {where} cannot be decrypted: it was altered, or moved here from "
        f"another provider, slot or database. Add the key again with `supernova keys add {binding.provider} "
        f"--slot {binding.slot}`, and look for the cause with `supernova audit list`"
    )
