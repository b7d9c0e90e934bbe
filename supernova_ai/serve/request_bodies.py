"""The body of a request: bounded, and plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request

from supernova_ai.config.fields import nearest
from supernova_ai.errors import InvalidRequest

MAX_BYTES = 32 * 2**20
"""Room for some images or documents."""


class UnknownField(InvalidRequest):
    """The body has a field that the endpoint does not know. ``name`` is the field's, cut if it is long."""

    def __init__(self, name: str, known: Sequence[str], endpoint: str) -> None:
        self.name = name[:60]
        super().__init__(f"{self.name} is not a field of {endpoint}.{nearest(name, known)}")


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        InvalidRequest: it is not one; NaN, lone surrogates and more than 200 levels are not accepted.
        HTTPException: it is too long.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > MAX_BYTES:
        raise _too_long()
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise _too_long()
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object, such as {'model': …, 'messages': […]}")
    return value


def _too_long() -> HTTPException:
    return HTTPException(413, f"the body is longer than {MAX_BYTES // 2**20} MiB")
