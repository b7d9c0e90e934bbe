from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from supernova_ai.errors import KeyCorrupt
from supernova_ai.keys.crypto import Binding, derive, fingerprint, seal, unseal
from supernova_ai.mac import mac, pack
from supernova_ai.secret import Secret

MASTER = bytes(range(32))
WRAPPING = AESGCM(derive(MASTER, "wrapping"))
PLACE = Binding("store-1", "openai", "primary", "00ff" * 8, 1, "c0ffee")
KEY = "sk-canary-0123456789"

GOLDEN = (
    "01202122232425262728292a2bbfe2f296515ade8c0b5c5bad91f87f926c942c7095e4425a450c6dd72730fda8d5acc8"
    "0089bb958c56633d1565f633b92c2d2e2f30313233343536372196087503ff85be4fe5add709d05e2de33d10f550afc7"
    "2afc0acb78c95a6f3146f2bb1c"
)


def counting() -> Callable[[int], bytes]:
    """Random bytes 00 01 02 …, so that a record is the same on every run."""
    numbers = itertools.count()
    return lambda size: bytes(next(numbers) % 256 for _ in range(size))


def record(place: Binding = PLACE, key: str = KEY) -> bytes:
    return seal(WRAPPING, place, Secret(key), counting())


def hkdf(key: bytes, info: bytes, salt: bytes, length: int) -> bytes:
    """RFC 5869 with the standard library only, as a reference for ours."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    out, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def vectors(name: str) -> list[dict[str, str]]:
    """Read a NIST file: one dict per case, including the bracketed settings."""
    folder = Path(cryptography_vectors.__file__).parent
    settings: dict[str, str] = {}
    cases: list[dict[str, str]] = []
    for line in (folder / "ciphers" / "AES" / "GCM" / name).read_text().splitlines():
        key, _, value = line.strip("[] \n").partition("=")
        if line.startswith("["):
            settings[key.strip()] = value.strip()
        elif key.strip() == "Count":
            cases.append(dict(settings))
        elif line.strip() and not line.startswith("#"):
            cases[-1][key.strip()] = value.strip()
    return cases


def test_rfc_5869() -> None:
    """The reference HKDF agrees with the RFC's first test case."""
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    assert hkdf(b"\x0b" * 22, info, bytes(range(13)), 42).hex() == expected


@pytest.mark.parametrize("purpose", ["wrapping", "audit", "fingerprint", "id"])
def test_sub_keys_are_hkdf_with_purpose_and_format(purpose: str) -> None:
    """Each sub-key is HKDF-SHA256 of the master; its info names the package, the format and the purpose."""
    assert derive(MASTER, purpose) == hkdf(MASTER, f"supernova-ai/1/{purpose}".encode(), b"", 32)


def test_golden_record() -> None:
    """The record format is fixed: these inputs give these bytes, and these bytes decrypt."""
    assert record().hex() == GOLDEN
    assert unseal(WRAPPING, PLACE, bytes.fromhex(GOLDEN)).reveal() == KEY


def test_record_layout() -> None:
    """The documented layout, HKDF and AES-256-GCM are enough to decrypt a record."""
    sealed = record()
    fields = ("store-1", "openai", "primary", "00ff" * 8, "1", "c0ffee")

    def bound(layer: str) -> bytes:
        parts = [part.encode() for part in ("supernova-ai sealed key", "1", layer, *fields)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    wrapping = AESGCM(hkdf(MASTER, b"supernova-ai/1/wrapping", b"", 32))
    data_key = wrapping.decrypt(sealed[1:13], sealed[13:61], bound("data key"))
    assert sealed[0] == 1
    assert AESGCM(data_key).decrypt(sealed[61:73], sealed[73:], bound("api key")).decode() == KEY


def test_golden_fingerprint() -> None:
    """A fingerprint is a short HMAC of the key, the same on every run."""
    key = hmac.new(derive(MASTER, "fingerprint"), digestmod=hashlib.sha256)
    expected = hmac.digest(derive(MASTER, "fingerprint"), pack(KEY), "sha256").hex()[:8]
    assert fingerprint(key, Secret(KEY)) == fingerprint(key, Secret(KEY)) == f"k1:{expected}"


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
def test_round_trip(key: str) -> None:
    """A sealed key decrypts to itself, and sealing it twice gives different bytes."""
    one, two = (seal(WRAPPING, PLACE, Secret(key), os.urandom) for _ in range(2))
    assert unseal(WRAPPING, PLACE, one).reveal() == unseal(WRAPPING, PLACE, two).reveal() == key
    assert one != two


@given(st.lists(st.text()), st.lists(st.text()))
def test_pack_is_unambiguous(one: list[str], two: list[str]) -> None:
    """Two lists of fields give the same bytes only if the lists are equal."""
    assert (pack(*one) == pack(*two)) == (one == two)


def test_pack_keeps_fields_apart() -> None:
    """Moving text from one field to the next changes the bytes."""
    assert pack("ab", "c") != pack("a", "bc")
    assert pack("a", "") != pack("", "a")


def test_mac_leaves_its_key_unchanged() -> None:
    """A key object gives the same MAC for the same fields however often it is used."""
    key = hmac.new(b"k" * 32, digestmod="sha256")
    assert mac(key, "a", 1) == mac(key, "a", 1) != mac(key, "a", 2)


def test_every_bit_flip_is_refused() -> None:
    """Flipping any single bit of a record makes decryption fail."""
    sealed = record()
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeyCorrupt):
            unseal(WRAPPING, PLACE, bytes(flipped))


def test_every_other_length_is_refused() -> None:
    """A record that is cut short, or has an extra byte, does not decrypt."""
    sealed = record()
    for wrong in [*(sealed[:size] for size in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(KeyCorrupt):
            unseal(WRAPPING, PLACE, wrong)


@pytest.mark.parametrize(
    "moved",
    [
        replace(PLACE, store="store-2"),
        replace(PLACE, provider="anthropic"),
        replace(PLACE, slot="backup"),
        replace(PLACE, key_id="ff00" * 8),
        replace(PLACE, version=2),
        replace(PLACE, master_id="decaf"),
        replace(PLACE, provider="openaip", slot="rimary"),
    ],
)
def test_moved_record_is_refused(moved: Binding) -> None:
    """A record decrypts only with its own binding; the error names the place where it was found."""
    with pytest.raises(KeyCorrupt) as caught:
        unseal(WRAPPING, moved, record())
    for named in (f"{moved.provider}/{moved.slot}", moved.key_id, "supernova keys add"):
        assert named in str(caught.value)


def test_layers_of_two_records_do_not_mix() -> None:
    """The data key of one record does not decrypt the text of another, even with the same binding."""
    one = record()
    two = seal(WRAPPING, PLACE, Secret(KEY), os.urandom)
    with pytest.raises(KeyCorrupt):
        unseal(WRAPPING, PLACE, one[:61] + two[61:])


def test_other_master_is_refused() -> None:
    """A record does not decrypt under another master's wrapping key."""
    with pytest.raises(KeyCorrupt):
        unseal(AESGCM(derive(bytes(32), "wrapping")), PLACE, record())


@pytest.mark.parametrize("wrong", [record()[:-1] + b"\0", b"", b"\x02" + record()[1:]])
def test_traceback_with_locals_shows_no_plaintext(wrong: bytes) -> None:
    """When decryption fails, a traceback with local variables shows no plaintext."""
    with pytest.raises(KeyCorrupt) as caught:
        unseal(WRAPPING, PLACE, wrong)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    data_key = bytes(range(32))
    assert "wrapping" in shown
    assert not any(secret in shown for secret in (KEY, data_key.hex(), repr(data_key)))


def test_nist_vectors() -> None:
    """The AES-256-GCM implementation agrees with NIST's test cases."""
    cases = [
        case
        for case in vectors("gcmDecrypt256.rsp")
        if case["IVlen"] == "96" and case["Taglen"] == "128" and case["AADlen"] == "160"
    ]
    opened = [_opens(case) for case in cases]
    assert opened == ["FAIL" not in case for case in cases]
    assert {True, False} <= set(opened)


def _opens(case: dict[str, str]) -> bool:
    cipher = AESGCM(bytes.fromhex(case["Key"]))
    iv, text, bound = (bytes.fromhex(case[name]) for name in ("IV", "CT", "AAD"))
    try:
        plain = cipher.decrypt(iv, text + bytes.fromhex(case["Tag"]), bound)
    except InvalidTag:
        return False
    return plain.hex() == case["PT"]
