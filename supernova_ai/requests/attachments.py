"""Attachments, read and checked: the kind by the first bytes, the size, the pages or the length."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from supernova_ai.config import Attachments
from supernova_ai.errors import InvalidRequest
from supernova_ai.paths import open_regular, reason_of
from supernova_ai.requests.attachment_urls import fetch
from supernova_ai.requests.messages import Media, last_user_message
from supernova_ai.types import Attachment, Request

AttachmentSource = bytes | str | Path
"""An attachment: the bytes themselves, a file's path, or (where that is allowed) an https address."""

MAX_ATTACHMENTS = 20
"""Images and documents in one call: all providers accept so many."""

_MEGABYTE = 1_000_000
_LEAST_BYTES_PER_SECOND = 1_000
"""Of an MP3 file, which has at least 8 kbit/s."""

_IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}


def attach(request: Request, given: Sequence[AttachmentSource], settings: Attachments) -> Request:
    """Read and check the files in the messages, and the attachments, which go to the user's last message.

    It blocks: do not call it on an event loop.

    Raises:
        InvalidRequest: one cannot be read, is too large, or has a kind that no model reads.
    """
    if isinstance(given, bytes | str | Path) or not isinstance(given, Sequence):
        raise InvalidRequest(f"attachments must be a list, not {type(given).__name__}: put it in brackets")
    messages = [dict(message) for message in request.messages]
    named: list[tuple[str, Media | AttachmentSource]] = [
        (f"messages[{number}]: content[{place}]", part)
        for number, message in enumerate(messages)
        if isinstance(message.get("content"), list)
        for place, part in enumerate(message["content"])
        if isinstance(part, Media)
    ]
    named += [(f"attachment {number}", one) for number, one in enumerate(given, 1)]
    loaded = iter(_load(named, settings))
    for message in messages:
        if isinstance(message.get("content"), list):
            message["content"] = [
                next(loaded) if isinstance(part, Media) else part for part in message["content"]
            ]
    if attached := list(loaded):
        place = last_user_message(messages)
        if place is None:
            raise InvalidRequest("attachments need a message of the user that they belong to")
        content = messages[place]["content"]
        text = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages[place]["content"] = [*attached, *text]
    return replace(request, messages=tuple(messages))


def _load(named: Sequence[tuple[str, Media | AttachmentSource]], settings: Attachments) -> list[Attachment]:
    if len(named) > MAX_ATTACHMENTS:
        raise InvalidRequest(
            f"{len(named)} attachments are too many: at most {MAX_ATTACHMENTS} go with one call"
        )
    left = settings.max_mb * _MEGABYTE
    loaded = []
    for where, one in named:
        source = one.source if isinstance(one, Media) else one
        if isinstance(one, Media) and isinstance(source, str) and "://" not in source:
            raise InvalidRequest(f"{where}: url must be a data: address or an https:// address")
        name, data = _read(where, source, left, settings)
        left -= len(data)
        if left < 0:
            raise InvalidRequest(
                f"{name} makes the attachments larger than {settings.max_mb} MB together: "
                f"make them smaller, or raise 'attachments.max_mb'"
            )
        audio = isinstance(one, Media) and one.audio
        loaded.append(_audio(name, data) if audio else _checked(name, data))
    return loaded


def _read(name: str, given: AttachmentSource, left: int, settings: Attachments) -> tuple[str, bytes]:
    """Return the attachment's name in errors, and its bytes, at most one more than ``left``."""
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
        raise InvalidRequest(f"{name} cannot be read: {reason_of(error)}") from None


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


def _audio(name: str, data: bytes) -> Attachment:
    """Return a sound with the longest time that it can take."""
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        try:
            with wave.open(io.BytesIO(data)) as sound:
                frame = sound.getsampwidth() * sound.getnchannels()
                return Attachment("audio/wav", data, seconds=len(data) / frame / sound.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError) as error:
            raise InvalidRequest(f"{name} is a damaged WAV file: {error}") from None
    if data.startswith(b"ID3") or (data[:1] == b"\xff" and data[1:2] >= b"\xe0"):
        return Attachment("audio/mp3", data, seconds=len(data) / _LEAST_BYTES_PER_SECOND)
    raise InvalidRequest(f"{name} is neither a WAV nor an MP3 file")
