"""Records of advice: a hash chain, so that a change to any record is found.

The chain shows a record that was altered, inserted, deleted or moved, and records cut off at the end. Its
hashes are SHA-256 without a key, because advice must work without one: a person with write access to the
database can make the whole chain again. To detect that, keep a head that ``verify`` returns in another place,
and give it to ``verify`` later: a chain that was made again does not contain it.

If the head is missing while records, tokens or a pruned position are left, the chain is lost: records can
still be added, but it never verifies again.

A record names its user by a token only. Bars and news have hashes of their own, so that they can be deleted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from peewee import Database, fn

from supernova_ai.characters import counted
from supernova_ai.errors import InvalidRequest
from supernova_ai.inflate import inflate
from supernova_ai.keys.audited_store import AuditedStore, Record
from supernova_ai.store import bulk, erased
from supernova_ai.store.engines import snapshot
from supernova_ai.store.tables import AdviceRow, JournalRow, LinkRow, UserTokenRow
from supernova_ai.store.user_tokens import user_token

_HEAD, _PRUNED = "head", "pruned"
_LOST = "lost"  # a previous hash that no record has: the records after it never verify
_MAX_BYTES = 32 * 2**20  # of bars or news, decompressed


@dataclass(frozen=True, slots=True)
class RecordContent:
    """The content of a record. ``content`` is JSON; bars and news are None if they are not to be kept.

    ``began_ms`` is the start of the call, in Unix milliseconds: if the user was erased since then, the record
    has neither user nor news.
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
    """The result of checking the chain: the number of records, and the problem of the first wrong one.

    ``head`` is the number and hash of the last record.
    """

    rows: int
    head: str
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether every record is unchanged."""
        return self.problem is None


def canonical(value: Any) -> str:
    """Return the value as JSON in one form: sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """Return the SHA-256 of the text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def append(database: Database, draft: RecordContent) -> None:
    """Add a record to the end of the chain, in a transaction of the store's writer."""
    if draft.user_id is not None and erased.since(database, draft.user_id, began_ms=draft.began_ms):
        draft = replace(draft, user_id=None, news=None)
    number, previous = _read_link(database, _HEAD)
    if _is_lost(database):
        number, previous = _last_number(database), _LOST
    row = (
        number + 1,
        draft.id,
        draft.created_ms,
        None if draft.user_id is None else user_token(database, draft.user_id),
        draft.symbol,
        draft.action,
        canonical(draft.content),
    )
    hash_ = _chain_hash(previous, row)
    bulk.insert(database, AdviceRow, [(*row, _pack(draft.bars), _pack(draft.news), hash_)])
    _write_link(database, _HEAD, number + 1, hash_)


def find(database: Database, id_: str) -> AdviceRow:
    """Return the record whose id begins with ``id_``.

    Raises:
        InvalidRequest: no record, or several, have such an id.
    """
    rows = list(AdviceRow.select().where(AdviceRow.id.startswith(id_)).limit(2).execute(database))
    if len(rows) != 1:
        problem = "several records of advice have ids" if rows else "no record of advice has an id"
        raise InvalidRequest(f"{problem} beginning with {id_!r}: see 'supernova advice list'")
    found: AdviceRow = rows[0]
    return found


def latest(
    database: Database, *, user: str | None = None, symbol: str | None = None, limit: int | None = 20
) -> list[AdviceRow]:
    """Return the records, newest first, of this user and symbol if given."""
    query = AdviceRow.select().order_by(AdviceRow.number.desc()).limit(limit)
    if user is not None:
        query = query.where(
            AdviceRow.user.in_(UserTokenRow.select(UserTokenRow.token).where(UserTokenRow.user == user))
        )
    if symbol is not None:
        query = query.where(AdviceRow.symbol == symbol)
    return list(query.execute(database))


def kept_input(record: AdviceRow, name: Literal["bars", "news"]) -> str | None:
    """Return the bars, as JSON, or the news that the record kept; None if it kept none.

    Raises:
        InvalidRequest: its hash differs from the one in the record.
    """
    packed = getattr(record, name)
    if packed is None:
        return None
    text = _unpack(packed)
    if digest(text) != json.loads(record.content)["inputs"][name]:
        raise InvalidRequest(f"the {name} of record {record.id} were altered: restore a backup")
    return text


def verify(database: Database, noted: str | None = None) -> ChainReport:
    """Check every record, the chain and its end, and the bars and news that were kept.

    Args:
        noted: the head of an earlier report; the chain must contain it.
    """
    with snapshot(database):
        return check(database, noted)


def check(database: Database, noted: str | None = None) -> ChainReport:
    """Check as ``verify`` does, inside a snapshot."""
    last = _read_link(database, _HEAD)
    number, previous = _read_link(database, _PRUNED)
    head = _format_link(last)
    contains_noted = noted in (None, _format_link((number, previous)))
    lost = _is_lost(database)
    rows = 0
    for page in bulk.pages(database, AdviceRow):
        for *values, bars, news, hash_ in page:
            rows += 1
            number += 1
            if problem := _problem(number, previous, values, bars, news, hash_):
                return ChainReport(rows, head, problem)
            previous = hash_
            contains_noted = contains_noted or noted == _format_link((number, previous))
    if lost:
        return ChainReport(rows, head, "the chain is lost: the record of its end is missing")
    if (number, previous) != last:
        missing = last[0] - number
        cut_off = f"{counted(missing, 'record')} missing at the end"
        return ChainReport(rows, head, cut_off if missing > 0 else "the record of its end was altered")
    if not contains_noted:
        problem = f"the chain does not lead through {noted}: it was made again, or pruned beyond it"
        return ChainReport(rows, head, problem)
    return ChainReport(rows, head)


def prune(vault: AuditedStore, *, before_ms: int, now_ms: int) -> int:
    """Delete the oldest records, up to the first made at ``before_ms`` or later; return how many.

    The chain continues from the last deleted record, which the journal names. The tokens of users without
    records are deleted too.
    """

    def change(database: Database, record: Record) -> int:
        count = _prune(database, before_ms=before_ms, now_ms=now_ms)
        if count:
            record("advice.pruned", "advice", {"records": count, "before_ms": before_ms})
        return count

    return vault.audited(change)


def _prune(database: Database, *, before_ms: int, now_ms: int) -> int:
    first_kept = (
        AdviceRow.select(AdviceRow.number)
        .where(AdviceRow.created_ms >= before_ms)
        .order_by(AdviceRow.number)
        .limit(1)
    )
    last_old = AdviceRow.select(AdviceRow.number, AdviceRow.hash).order_by(AdviceRow.number.desc()).limit(1)
    for (first,) in first_kept.tuples().execute(database):
        last_old = last_old.where(AdviceRow.number < first)
    for number, hash_ in last_old.tuples().execute(database):
        count = int(AdviceRow.delete().where(AdviceRow.number <= number).execute(database))
        _write_link(database, _PRUNED, number, hash_)
        used = AdviceRow.select(AdviceRow.user).where(AdviceRow.user.is_null(False))
        UserTokenRow.delete().where(UserTokenRow.token.not_in(used)).execute(database)
        JournalRow.insert(
            at_ms=now_ms,
            event="advice.pruned",
            before=counted(count, "record"),
            after=_format_link((number, hash_)),
            reason=f"made before {before_ms}",
        ).execute(database)
        return count
    return 0


def _problem(
    number: int, previous: str, row: list[Any], bars: str | None, news: str | None, hash_: str
) -> str | None:
    if row[0] != number:
        return f"record {number} is missing"
    if _chain_hash(previous, tuple(row)) != hash_:
        return f"record {number} was altered, or does not follow the record before it"
    inputs = json.loads(row[6])["inputs"]
    for name, packed in (("bars", bars), ("news", news)):
        if packed is not None and digest(_unpack(packed)) != inputs[name]:
            return f"the {name} of record {number} were altered"
    return None


def _chain_hash(previous: str, row: tuple[Any, ...]) -> str:
    return digest(canonical([previous, *row]))


def _is_lost(database: Database) -> bool:
    """Whether the head is missing although there are traces of a chain."""
    names = {row.name for row in LinkRow.select(LinkRow.name).execute(database)}
    traces = bool(names) or AdviceRow.select().limit(1).count(database)
    return bool(traces) and _HEAD not in names


def _last_number(database: Database) -> int:
    ((number,),) = AdviceRow.select(fn.MAX(AdviceRow.number)).tuples().execute(database)
    return number or 0


def _read_link(database: Database, name: str) -> tuple[int, str]:
    for row in LinkRow.select().where(LinkRow.name == name).execute(database):
        return row.number, row.hash
    return 0, ""


def _write_link(database: Database, name: str, number: int, hash_: str) -> None:
    LinkRow.insert(name=name, number=number, hash=hash_).on_conflict(
        conflict_target=[LinkRow.name], preserve=[LinkRow.number, LinkRow.hash]
    ).execute(database)


def _format_link(link: tuple[int, str]) -> str:
    return f"{link[0]}:{link[1]}" if link[0] else "empty"


def _pack(text: str | None) -> str | None:
    return text and base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _unpack(packed: str) -> str:
    """Return the text; an empty one, whose hash no record has, if the data are damaged."""
    try:
        return inflate(base64.b64decode(packed), _MAX_BYTES).decode()
    except ValueError:
        return ""
