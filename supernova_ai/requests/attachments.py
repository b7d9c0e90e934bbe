"""Attachments, read and checked: the kind by the first bytes, the size, the pages of a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from supernova_ai.config import Attachments
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import open_regular
from supernova_ai.requests.attachment_urls import fetch
from supernova_ai.types import Attachment

AttachmentSource = bytes | str | Path
"""An attachment: the bytes themselves, a file's path, or (where that is allowed) an https address."""

MAX_ATTACHMENTS = 20
"""Images and documents in one call: all providers accept so many."""

_MEGABYTE = 1_000_000
_IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}


def load(given: Sequence[AttachmentSource], settings: Attachments) -> tuple[Attachment, ...]:
    """Read and check the attachments. It blocks: do not call it on an event loop.

    Raises:
        InvalidRequest: one cannot be read, is too large, or is neither an image nor a PDF document.
    """
    if isinstance(given, bytes | str | Path) or not isinstance(given, Sequence):
        raise InvalidRequest(f"attachments must be a list, not {type(given).__name__}: put it in brackets")
    if len(given) > MAX_ATTACHMENTS:
        raise InvalidRequest(
            f"{len(given)} attachments are too many: at most {MAX_ATTACHMENTS} go with one message"
        )
    left = settings.max_mb * _MEGABYTE
    loaded = []
    for number, one in enumerate(given, 1):
        name, data = _read(number, one, left, settings)
        left -= len(data)
        if left < 0:
            raise InvalidRequest(
                f"{name} makes the attachments larger than {settings.max_mb} MB together: "
                f"make them smaller, or raise 'attachments.max_mb'"
            )
        loaded.append(_checked(name, data))
    return tuple(loaded)


def _read(number: int, given: AttachmentSource, left: int, settings: Attachments) -> tuple[str, bytes]:
    """Return the attachment's name in messages, and its bytes, at most one more than ``left``."""
    name = f"attachment {number}"
    if isinstance(given, bytes):
        return name, given
    if isinstance(given, str) and "://" in given:
        if not settings.urls:
            raise InvalidRequest(
                f"{name} is an address, and addresses are not fetched: set 'attachments.urls: true', "
                f"or attach the file itself"
            )
        return name, fetch(name, given, left + 1)
    if not isinstance(given, str | Path):
        raise InvalidRequest(f"{name} must be bytes, a path or an address, not {type(given).__name__}")
    name = f"{name} ({given})"
    try:
        with open_regular(Path(given).expanduser()) as file:
            return name, file.read(left + 1)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"{name} cannot be read: {error}") from None


def _checked(name: str, data: bytes) -> Attachment:
    for begins, kind in _IMAGES.items():
        if data.startswith(begins):
            return Attachment(f"image/{kind}", data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Attachment("image/webp", data)
    if data.startswith(b"%PDF-"):
        return Attachment("application/pdf", data, _pages(name, data))
    raise InvalidRequest(f"{name} is neither a PNG, JPEG, WebP or GIF image nor a PDF document")


def _pages(name: str, data: bytes) -> int:
    from supernova_ai.requests.pdf import pages_of  # here, since few calls attach a document

    try:
        pages = pages_of(data)
    except Exception as error:  # a damaged file may raise anything
        raise InvalidRequest(f"{name} is a damaged PDF: {error}") from None
    if pages is None:
        raise InvalidRequest(f"{name} is an encrypted PDF: attach it without a password")
    if not pages:
        raise InvalidRequest(f"{name} is a PDF without pages")
    return pages
