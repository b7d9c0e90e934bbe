"""Passwords: their hashes by Argon2id, checked beside the event loop and only a few at a time."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from functools import cached_property
from unicodedata import normalize

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from supernova_ai.concurrency import in_thread
from supernova_ai.errors import InvalidRequest

LEAST, MOST = 12, 1_000
"""The characters of a password."""

_AT_ONCE = 2
"""Each check takes the memory that the hash costs: strangers could fill the machine's with more of them."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hash costs: memory in KiB, passes over it, and lanes. The default is OWASP's recommendation."""

    memory_kib: int = 19_456
    iterations: int = 2
    lanes: int = 1


class Passwords:
    """Makes and checks hashes.

    Args:
        cost: of the hashes that are made; each hash names its own.
    """

    def __init__(self, cost: Cost = Cost()) -> None:
        self._cost = cost
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def hash(self, password: str) -> str:
        """Return the hash of a password, as a PHC string, which names the algorithm, its cost and the salt.

        Raises:
            InvalidRequest: it is too short or too long.
        """
        if not LEAST <= len(password) <= MOST:
            raise InvalidRequest(
                f"a password must have {LEAST} to {MOST:,} characters; this one has {len(password):,}"
            )
        return self._hash(password)

    async def match(self, password: str, stored: str | None) -> bool:
        """Return whether a password has this hash. Without a hash it takes as long, and the answer is no."""
        async with self._turns:
            return await in_thread(self._matches, password, stored)

    def _matches(self, password: str, stored: str | None) -> bool:
        nobody = self._nobody  # in any case: the first check takes long, whoever it is for
        try:
            Argon2id.verify_phc_encoded(_bytes(password), stored or nobody)
        except InvalidKey:  # also if the hash is damaged
            return False
        return stored is not None

    @cached_property
    def _nobody(self) -> str:
        """The hash of a password that nobody has."""
        return self._hash(secrets.token_urlsafe())

    def _hash(self, password: str) -> str:
        cost = self._cost
        return Argon2id(
            salt=secrets.token_bytes(16),
            length=32,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        ).derive_phc_encoded(_bytes(password))


def _bytes(password: str) -> bytes:
    """Return the same bytes for the same characters, however a keyboard composes them."""
    return normalize("NFKC", password).encode(errors="surrogatepass")
