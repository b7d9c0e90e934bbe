"""The encrypted file of a backup: a header, then chunks of AES-256-GCM under a key from a passphrase.

    header    59 bytes: magic, format, costs of scrypt, the store's id, when it was made, salt, nonce prefix
    chunk     65,536 bytes of content, and a tag of 16 bytes; the last chunk has fewer, perhaps none
    …

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár, 2015): a chunk's nonce is the prefix,
its number and whether it is the last, and the header is associated data of every chunk. So a chunk that was
altered, moved, dropped or added does not decrypt, and nor does one under another header. The content is
written and read chunk by chunk: memory does not grow with it.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from supernova_ai.errors import BackupError
from supernova_ai.secret import Secret

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_MAGIC, _FORMAT = b"SNBACKUP", 1
_HEADER = struct.Struct(">8sBBBB16sQ16s7s")
_CHUNK, _TAG = 65_536, 16

_MOST_MEMORY = 512 * 2**20
_MOST_WORK = 2**23
"""The limits of scrypt's 128·n·r bytes and n·r·p steps: four times what ``Cost`` takes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess of a passphrase costs: 128 MiB and half a second (OWASP's first setting of scrypt)."""

    log_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def bearable(self) -> bool:
        """Whether this machine may be asked to bear it. A file from elsewhere may name any cost."""
        n = 2**self.log_n
        return (
            min(self.log_n, self.r, self.p) >= 1
            and 128 * n * self.r <= _MOST_MEMORY
            and n * self.r * self.p <= _MOST_WORK
        )


@dataclass(frozen=True, slots=True)
class Header:
    """The part of a backup that is not encrypted, but authenticated; ``store`` is its id in hex."""

    cost: Cost
    store: str
    created_ms: int
    salt: bytes
    prefix: bytes

    @classmethod
    def read(cls, file: BinaryIO) -> Header:
        """Read the header at the start of a file.

        Raises:
            BackupError: it is no backup, of an unknown format, or asks for more memory or time than allowed.
        """
        packed = file.read(_HEADER.size)
        if len(packed) < _HEADER.size or not packed.startswith(_MAGIC):
            raise BackupError("it is not a backup of supernova-ai, or its first bytes are damaged")
        _, version, log_n, r, p, store, created_ms, salt, prefix = _HEADER.unpack(packed)
        if version != _FORMAT:
            raise BackupError(
                f"it has format {version}, and this version reads {_FORMAT}: upgrade the package"
            )
        cost = Cost(log_n, r, p)
        if not cost.bearable:
            raise BackupError(f"its header is damaged or forged: no backup has a cost of scrypt like {cost}")
        return cls(cost, store.hex(), created_ms, salt, prefix)

    def pack(self) -> bytes:
        """Return the bytes of the header."""
        cost, store = self.cost, bytes.fromhex(self.store)
        return _HEADER.pack(
            _MAGIC, _FORMAT, cost.log_n, cost.r, cost.p, store, self.created_ms, self.salt, self.prefix
        )

    def cipher(self, passphrase: Secret) -> AESGCM:
        """Derive the key of the chunks, which takes the time and memory of the cost."""
        cost = self.cost
        derivation = Scrypt(salt=self.salt, length=32, n=2**cost.log_n, r=cost.r, p=cost.p)
        try:
            return AESGCM(derivation.derive(passphrase.reveal().encode(errors="surrogateescape")))
        except MemoryError as error:
            raise BackupError(f"this machine has too little memory for its passphrase: {error}") from error

    def nonce(self, number: int, *, last: bool) -> bytes:
        """Return the nonce of a chunk."""
        return self.prefix + number.to_bytes(4, "big") + bytes([last])


class Sealer(io.RawIOBase):
    """Encrypts what is written into a file. Without ``finish``, the file is incomplete and never opens."""

    def __init__(
        self, file: BinaryIO, passphrase: Secret, *, store: str, created_ms: int, cost: Cost
    ) -> None:
        self._header = Header(cost, store, created_ms, os.urandom(16), os.urandom(7))
        self._packed = self._header.pack()
        self._cipher = self._header.cipher(passphrase)
        self._file = file
        self._rest = bytearray()
        self._number = 0
        file.write(self._packed)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Encrypt the data; what fills no chunk waits for more."""
        self._rest += data
        while len(self._rest) >= _CHUNK:
            self._seal(bytes(self._rest[:_CHUNK]), last=False)
            del self._rest[:_CHUNK]
        return memoryview(data).nbytes

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._rest), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = self._header.nonce(self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, chunk, self._packed))
        self._number += 1


class Opener(io.RawIOBase):
    """Decrypts a file as it is read; what it gives was written by someone who knows the passphrase.

    Raises:
        BackupError: from the constructor, the file is no backup; from reading, the passphrase is wrong, or
            the file is damaged, cut off or longer than it was.
    """

    def __init__(self, file: BinaryIO, passphrase: Secret) -> None:
        self.header = Header.read(file)
        self._packed = self.header.pack()
        self._cipher = self.header.cipher(passphrase)
        self._file = file
        self._next = file.read(_CHUNK + _TAG)
        self._number = 0
        self._ended = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Decrypt into the buffer; return how many bytes, 0 at the end."""
        target = memoryview(buffer).cast("B")
        while not self._ready and not self._ended:
            self._ready = memoryview(self._open())
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _open(self) -> bytes:
        sealed, self._next = self._next, self._file.read(_CHUNK + _TAG)
        self._ended = (
            not self._next
        )  # the last chunk is the one that nothing follows, and says so in its nonce
        nonce = self.header.nonce(self._number, last=self._ended)
        try:
            chunk = self._cipher.decrypt(nonce, sealed, self._packed)
        except (InvalidTag, ValueError):  # the latter where there is less than a tag
            raise BackupError(self._reason()) from None
        self._number += 1
        return chunk

    def _reason(self) -> str:
        if self._number == 0:
            return "the passphrase is wrong, or the file is damaged or incomplete"
        return f"it is damaged or cut off after {self._number * _CHUNK:,} bytes of content: use another copy"
