"""Records of advice: what was said, from what and why, each bound to the one before it by its hash.

The chain shows a record that was altered, inserted, deleted or reordered, and records cut off at the end.
Its hashes are SHA-256 without a key, since advice needs none: who can write to the database can make the
whole chain anew. Against that, note the head that ``verify`` returns somewhere else from time to time, and
give it to ``verify`` later: a chain made anew does not lead through it.

Where the head is missing and anything of a chain is left, the chain is lost: records can still be added, but
it never verifies again.

The user is in it by a token only. Bars and news are hashed apart, so that they can go and the chain holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from peewee import Database, fn

from supernova_ai.errors import InvalidRequest
from supernova_ai.inflate import inflate
from supernova_ai.store import Store, bulk, erased
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import AdviceRow, JournalRow, LinkRow, UserTokenRow

_HEAD, _PRUNED = "head", "pruned"
_LOST = "lost"  # a previous hash that no record has: what follows it can never verify
_LONGEST = 32 * 2**20
"""Bytes of bars or news that are read back."""


@dataclass(frozen=True, slots=True)
class RecordContent:
    """What a record is made of. ``content`` is JSON; bars and news are None where they are not to be kept.

    ``began_ms`` is when the call began, in Unix milliseconds: if its user is erased later, the record is
    nobody's and has no news.
    """

    id: str
    created_ms: int
    user_id: str | None
    symbol: str
    action: str
    content: Mapping[str, Any]
    bars: str | None = None
    news: str | None = None
    began_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What checking the chain found: how many records, and what is wrong with the first that is not right.

    ``head`` is the number and hash of the last record, to be noted elsewhere.
    """

    rows: int
    head: str
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every record is as it was written."""
        return self.problem is None


def canonical(value: Any) -> str:
    """Return the value as JSON that is always the same: sorted keys, no spaces, ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """Return the SHA-256 of the text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def append(database: Database, draft: RecordContent) -> None:
    """Add a record to the end of the chain, inside an operation of the store's writer."""
    if draft.user_id is not None and erased.since(database, draft.user_id, began_ms=draft.began_ms):
        draft = replace(draft, user_id=None, news=None)
    number, previous = _link(database, _HEAD)
    if _lost(database):
        number, previous = _last_number(database), _LOST
    row = (
        number + 1,
        draft.id,
        draft.created_ms,
        None if draft.user_id is None else token(database, draft.user_id),
        draft.symbol,
        draft.action,
        canonical(draft.content),
    )
    seal = _seal(previous, row)
    bulk.insert(database, AdviceRow, [(*row, _pack(draft.bars), _pack(draft.news), seal)])
    _set(database, _HEAD, number + 1, seal)


def token(database: Database, user: str) -> str:
    """Return the token by which the user is known in records, made at their first."""
    made = UserTokenRow.insert(user=user, token=f"user-{uuid.uuid4().hex}")
    made.on_conflict_ignore().execute(database)
    (row,) = UserTokenRow.select().where(UserTokenRow.user == user).execute(database)
    return str(row.token)


def find(database: Database, id_: str) -> AdviceRow:
    """Return the record whose id begins so.

    Raises:
        InvalidRequest: there is none, or there are several.
    """
    rows = list(AdviceRow.select().where(AdviceRow.id.startswith(id_)).limit(2).execute(database))
    if len(rows) != 1:
        count = (
            "several records of advice have ids that begin"
            if rows
            else "no record of advice has an id that begins"
        )
        raise InvalidRequest(f"{count} with {id_!r}: see 'supernova advice list'")
    found: AdviceRow = rows[0]
    return found


def latest(
    database: Database, *, user: str | None = None, symbol: str | None = None, limit: int | None = 20
) -> list[AdviceRow]:
    """Return the records, of this user and symbol if given, newest first."""
    query = AdviceRow.select().order_by(AdviceRow.number.desc()).limit(limit)
    if user is not None:
        query = query.where(
            AdviceRow.user.in_(UserTokenRow.select(UserTokenRow.token).where(UserTokenRow.user == user))
        )
    if symbol is not None:
        query = query.where(AdviceRow.symbol == symbol)
    return list(query.execute(database))


def bars_of(record: AdviceRow) -> str | None:
    """Return the bars that the record kept, as the JSON they were hashed as.

    Raises:
        InvalidRequest: they are not those that the record was made of.
    """
    return _kept(record, "bars")


def news_of(record: AdviceRow) -> str | None:
    """Return the news that the record kept; raises as ``bars_of``."""
    return _kept(record, "news")


def _kept(record: AdviceRow, what: str) -> str | None:
    packed = getattr(record, what)
    if packed is None:
        return None
    text = _unpack(packed)
    if digest(text) != json.loads(record.content)["inputs"][what]:
        raise InvalidRequest(f"the {what} of record {record.id} were altered: restore a backup")
    return text


def verify(database: Database, noted: str | None = None) -> ChainReport:
    """Check every record, the chain and its end, and the bars and news that were kept.

    Args:
        noted: the head of an earlier report; the chain must lead through it.
    """
    with snapshot(database):
        last = _link(database, _HEAD)
        number, previous = _link(database, _PRUNED)
        led_through = noted in (None, _shown((number, previous)))
        lost = _lost(database)
        rows = 0
        for page in bulk.pages(database, AdviceRow):
            for *values, bars, news, seal in page:
                rows += 1
                number += 1
                if problem := _problem(number, previous, values, bars, news, seal):
                    return ChainReport(rows, _shown(last), problem)
                previous = seal
                led_through = led_through or noted == _shown((number, previous))
    if lost:
        return ChainReport(rows, _shown(last), "the chain is lost: the record of its end is missing")
    if (number, previous) == last:
        anew = f"the chain does not lead through {noted}: it was made anew, or pruned beyond it"
        return ChainReport(rows, _shown(last), None if led_through else anew)
    missing = last[0] - number
    what = f"{missing} records at the end are missing" if missing > 0 else "the record of its end was altered"
    return ChainReport(rows, _shown(last), what)


def prune(store: Store, *, before_ms: int, now_ms: int) -> int:
    """Delete the oldest records, as far as they were made before a time, and return how many.

    The chain goes on from the last of them, which the journal names. A user with no record left is forgotten.
    """
    return store.write(partial(_prune, before_ms=before_ms, now_ms=now_ms)).result()


def _prune(database: Database, *, before_ms: int, now_ms: int) -> int:
    kept = (
        AdviceRow.select(AdviceRow.number)
        .where(AdviceRow.created_ms >= before_ms)
        .order_by(AdviceRow.number)
        .limit(1)
    )
    old = AdviceRow.select(AdviceRow.number, AdviceRow.hash).order_by(AdviceRow.number.desc()).limit(1)
    for (first,) in kept.tuples().execute(database):
        old = old.where(AdviceRow.number < first)
    for number, seal in old.tuples().execute(database):
        count = int(AdviceRow.delete().where(AdviceRow.number <= number).execute(database))
        _set(database, _PRUNED, number, seal)
        used = AdviceRow.select(AdviceRow.user).where(AdviceRow.user.is_null(False))
        UserTokenRow.delete().where(UserTokenRow.token.not_in(used)).execute(database)
        JournalRow.insert(
            at_ms=now_ms,
            event="advice.pruned",
            before=f"{count} records",
            after=f"{number}:{seal}",
            reason=f"made before {before_ms}",
        ).execute(database)
        return count
    return 0


def _problem(
    number: int, previous: str, row: list[Any], bars: str | None, news: str | None, seal: str
) -> str | None:
    if row[0] != number:
        return f"record {number} is missing"
    if _seal(previous, tuple(row)) != seal:
        return f"record {number} was altered, or does not follow the record before it"
    inputs = json.loads(row[6])["inputs"]
    for what, packed in (("bars", bars), ("news", news)):
        if packed is not None and digest(_unpack(packed)) != inputs[what]:
            return f"the {what} of record {number} were altered"
    return None


def _seal(previous: str, row: tuple[Any, ...]) -> str:
    return digest(canonical([previous, *row]))


def _lost(database: Database) -> bool:
    """Tell whether there was a chain, and the record of its end is gone."""
    names = {row.name for row in LinkRow.select(LinkRow.name).execute(database)}
    traces = bool(names) or any(
        table.select().limit(1).count(database) for table in (AdviceRow, UserTokenRow)
    )
    return traces and _HEAD not in names


def _last_number(database: Database) -> int:
    ((number,),) = AdviceRow.select(fn.MAX(AdviceRow.number)).tuples().execute(database)
    return number or 0


def _link(database: Database, name: str) -> tuple[int, str]:
    for row in LinkRow.select().where(LinkRow.name == name).execute(database):
        return row.number, row.hash
    return 0, ""


def _set(database: Database, name: str, number: int, seal: str) -> None:
    LinkRow.insert(name=name, number=number, hash=seal).on_conflict(
        conflict_target=[LinkRow.name], preserve=[LinkRow.number, LinkRow.hash]
    ).execute(database)


def _shown(link: tuple[int, str]) -> str:
    return f"{link[0]}:{link[1]}" if link[0] else "empty"


def _pack(text: str | None) -> str | None:
    return text and base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _unpack(packed: str) -> str:
    """Return the text, an empty one if it is damaged: no record was made of that."""
    try:
        return inflate(base64.b64decode(packed), _LONGEST).decode()
    except ValueError:
        return ""
