"""Ratings: the feedback of a user on a request, and the quality of its answer, kept with the request.

A rating has its own copy of what it is reported by, so that reports do not change when attempts are archived.
The comment of a feedback is encrypted, bound to its request.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from peewee import Database

from supernova_ai.characters import quoted
from supernova_ai.errors import InvalidRequest, MasterKeyError, StoreError, UserErased
from supernova_ai.identifiers import identifier, whole
from supernova_ai.keys import Vault
from supernova_ai.log import get_logger
from supernova_ai.mac import pack
from supernova_ai.store import Store, bulk, erased
from supernova_ai.store.tables import RATING_SCALE, AttemptRow, RatingRow
from supernova_ai.types import Reply

log = get_logger(__name__)

MAX_COMMENT = 2_000
"""Characters."""

_THUMBS = {"up": 1.0, "down": -1.0}
_AS_STORED = ("request", "at_ms", "user", "provider", "model", "task", "prompt")
_FORMAT = 1
_NONCE = 12


class Feedback(NamedTuple):
    """What a user thinks of one answer. The score is -1 to 1."""

    request: str
    score: float
    comment: str | None

    @classmethod
    def of(cls, request: str, score: float | str, comment: str | None) -> Self:
        """Check what a caller gave.

        >>> Feedback.of("6f1c", "up", " Clear. ")
        Feedback(request='6f1c', score=1.0, comment='Clear.')

        Args:
            score: a number from -1 to 1, or "up" (1) or "down" (-1).
            comment: at most 2,000 characters; an empty one is none.

        Raises:
            InvalidRequest: one of them is wrong.
        """
        number = _THUMBS.get(score) if isinstance(score, str) else score
        if isinstance(number, bool) or not isinstance(number, int | float) or not -1 <= number <= 1:
            raise InvalidRequest(f'score must be a number from -1 to 1, "up" or "down", not {quoted(score)}')
        if comment is not None:
            if not isinstance(comment, str):
                raise InvalidRequest(f"comment must be a text, not {quoted(comment)}")
            comment = whole("comment", comment).strip() or None
        if comment and len(comment) > MAX_COMMENT:
            raise InvalidRequest(
                f"comment has {len(comment):,} characters; at most {MAX_COMMENT:,} are allowed"
            )
        return cls(identifier("request_id", request), float(number), comment)


@dataclass(frozen=True, slots=True)
class KeptFeedback:
    """The feedback on one request, and who answered it. ``quality`` is None if the answer was not checked."""

    request: str
    at_ms: int
    user: str
    provider: str
    model: str
    task: str
    prompt: str
    quality: float | None
    score: float
    comment: str | None


def give(vault: Vault, feedback: Feedback) -> bool:
    """Keep the feedback. It replaces an earlier one on the same request; return whether there was one.

    Not inside an operation of the store. Without a comment no master key is needed.

    Raises:
        InvalidRequest: the ledger has no ended attempt of the request.
        UserErased: the request was of a user who was erased.
        MasterKeyError: there is no master key to encrypt the comment with.
    """
    store, request = vault.store, feedback.request

    def write(database: Database) -> bool:
        group = _group(database, request)
        if group is None:
            raise InvalidRequest(
                f"the ledger has no ended attempt of request {request!r}: give the request_id of a Reply. "
                f"Requests in another database, or in an archive, take no feedback here"
            )
        if group["user"] and erased.is_pseudonym(database, group["user"]):
            raise UserErased(f"the user of request {request!r} was erased: no feedback on it is kept")
        query = RatingRow.select().where((RatingRow.request == request) & RatingRow.score.is_null(False))
        replaced = query.count(database) > 0
        sealed = feedback.comment and _seal(vault.comment_cipher(database), store, request, feedback.comment)
        score = round(feedback.score * RATING_SCALE)
        _keep(database, request, group, {"score": score, "at_ms": store.now_ms(), "sealed": sealed})
        return replaced

    if feedback.comment is None:
        return store.write(write).result()
    try:
        vault.comment_cipher()
    except MasterKeyError as error:
        error.add_note("comments are stored encrypted: without a master key, give a score alone")
        raise
    return vault.following_master(lambda: store.write(write).result())


def note_quality(store: Store, reply: Reply) -> None:
    """Keep the quality of an answer without waiting for the database; a failure is logged."""
    quality = reply.quality_score
    if quality is None:
        return

    def write(database: Database) -> None:
        if group := _group(database, reply.request_id):
            _keep(database, reply.request_id, group, {"quality": round(quality * RATING_SCALE)})

    def log_failure(error: BaseException | None) -> None:
        if error:
            log.warning("ratings.quality.lost", request=reply.request_id, error=str(error))

    try:
        store.write(write).add_done_callback(lambda done: log_failure(done.exception()))
    except StoreError as error:  # the client is closing, and the caller has paid for the answer
        log_failure(error)


def latest(vault: Vault, *, limit: int, since_ms: int = 0, user: str | None = None) -> list[KeptFeedback]:
    """Return the feedback that was given since then, the latest first; raises as ``comments`` does."""
    query = RatingRow.select().where(RatingRow.score.is_null(False) & (RatingRow.at_ms >= since_ms))
    if user is not None:
        query = query.where(RatingRow.user == user)
    query = query.order_by(RatingRow.at_ms.desc(), RatingRow.request).limit(limit)
    rows = vault.store.read(lambda database: list(query.execute(database)))
    texts = comments(vault, ((row.request, row.sealed) for row in rows))
    return [
        KeptFeedback(
            **{name: row.__data__[name] for name in _AS_STORED},
            quality=None if row.quality is None else row.quality / RATING_SCALE,
            score=row.__data__["score"] / RATING_SCALE,
            comment=texts.get(row.request),
        )
        for row in rows
    ]


def comments(vault: Vault, sealed: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return the comments by request, decrypted; a request without a comment is left out.

    Args:
        sealed: requests, each with its encrypted comment.

    Raises:
        MasterKeyError: there is a comment and no master key.
        StoreError: a comment was altered, moved, or encrypted with another master key.
    """
    found = [(request, bytes(content)) for request, content in sealed if content is not None]
    if not found:
        return {}
    cipher = vault.comment_cipher()
    return {request: _open(cipher, vault.store, request, content) for request, content in found}


def erase(database: Database, *, user: str) -> int:
    """Delete the ratings of a user's requests; return how many there were."""
    return int(RatingRow.delete().where(RatingRow.user == user).execute(database))


def prune(database: Database, *, before_ms: int) -> int:
    """Delete the ratings of requests that were sent before that time; return how many there were."""
    return int(RatingRow.delete().where(RatingRow.started_ms < before_ms).execute(database))


_CONTRADICTIONS = """
SELECT request FROM rating AS r WHERE score NOT BETWEEN -1000 AND 1000 OR quality NOT BETWEEN 0 AND 1000
OR EXISTS (SELECT 1 FROM attempt AS a WHERE a.request = r.request AND a.started_ms = r.started_ms)
AND NOT EXISTS (
    SELECT 1 FROM attempt AS a WHERE a.request = r.request AND a.started_ms = r.started_ms
    AND a.provider = r.provider AND a.model = r.model AND a.task = r.task
    AND COALESCE(a.prompt_name, '') = r.prompt AND COALESCE(a.user_id, '') = r.user_id
)
ORDER BY request
"""


def contradictions(database: Database) -> list[str]:
    """Return the requests whose rating is out of range, or names another group than the attempt it is of."""
    return [str(request) for (request,) in bulk.run(database, _CONTRADICTIONS).fetchall()]


def associated_data(store: str, request: str) -> bytes:
    """Return what a comment is bound to. It is the nonce of 12 bytes and the ciphertext."""
    return pack("supernova-ai comment", _FORMAT, store, request)


def _group(database: Database, request: str) -> dict[str, Any] | None:
    """Return what the request's rating is reported by: of the attempt that answered, else of the last."""
    query = AttemptRow.select().where((AttemptRow.request == request) & (AttemptRow.state != "held"))
    found = list(query.execute(database))
    if not found:
        return None
    row = max(found, key=lambda row: (row.state == "settled" and row.error is None, row.started_ms, row.id))
    return {
        "user": row.user or "",
        "provider": row.provider,
        "model": row.model,
        "task": row.task,
        "prompt": row.prompt_name or "",
        "started_ms": row.started_ms,
    }


def _keep(database: Database, request: str, group: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set these columns of the request's rating; the first time, with its group."""
    insert = RatingRow.insert(request=request, **group, **values)
    preserve = [getattr(RatingRow, name) for name in values]
    insert.on_conflict(conflict_target=[RatingRow.request], preserve=preserve).execute(database)


def _seal(cipher: AESGCM, store: Store, request: str, comment: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, comment.encode(), associated_data(store.id, request))


def _open(cipher: AESGCM, store: Store, request: str, sealed: bytes) -> str:
    try:
        bound = associated_data(store.id, request)
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound).decode()
    except (InvalidTag, ValueError) as error:
        raise StoreError(
            f"the comment on request {request!r} cannot be decrypted: it was altered, or encrypted with "
            f"another master key. Give the feedback again to replace it"
        ) from error
