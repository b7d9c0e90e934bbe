"""Replay of advice: the part of a record that can be computed again, and the comparison with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from supernova_ai import __version__
from supernova_ai.advisor import records
from supernova_ai.advisor.bars import Bar, History, read_bars
from supernova_ai.advisor.ensemble import Assessment
from supernova_ai.advisor.explain import risk_notes
from supernova_ai.advisor.rationale import Rationale, compose
from supernova_ai.advisor.request import AdviceRequest, read_request
from supernova_ai.config.advice import AdviceRules
from supernova_ai.errors import InvalidRequest
from supernova_ai.store.tables import AdviceRow

DESIGN = 3
"""Of the records: 3 has texts by language. 2 had English alone; 1, without this number, had free prose."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of computing a record again: each difference, as "name: old then, new now"."""

    record: str
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether all computed values are the same again, to the last digit."""
        return not self.differences


def bars_json(history: History) -> str:
    """Return the bars as the JSON that a record keeps and hashes."""
    return records.canonical(
        [[bar.time.isoformat(), bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in history.bars]
    )


def replayable_content(
    history: History,
    request: AdviceRequest,
    assessment: Assessment,
    rationale: Rationale,
    rules: AdviceRules,
) -> dict[str, Any]:
    """Return the part of a record that can be computed again, with its inputs except the bars, as JSON."""
    return {
        "version": __version__,
        "design": DESIGN,
        "as_of": history.bars[-1].time.isoformat(),
        "read_at": history.read_at and history.read_at.isoformat(),
        "unfinished": history.unfinished and history.unfinished.isoformat(),
        "repairs": list(history.repairs),
        "request": request.to_json(),
        "rules": rules.model_dump(mode="json"),
        "assessment": _to_json(asdict(assessment)),
        "risk_notes": list(risk_notes(assessment)),
        "source": rationale.source,
        "text": rationale.text,
        "written": list(rationale.written),
        "sentences": _to_json([asdict(each) for each in rationale.sentences]),
    }


def replay(record: AdviceRow) -> Replay:
    """Compute the record's assessment and sentences again from the bars it kept.

    Raises:
        InvalidRequest: the record kept no bars, or they were altered; or an older design made it.
    """
    bars = records.kept_input(record, "bars")
    if bars is None:
        raise InvalidRequest(
            f"record {record.id} kept no bars and cannot be replayed: set 'advice.keep_bars: true' to keep "
            f"those of future records"
        )
    then = json.loads(record.content)["computed"]
    if then.get("design") != DESIGN:
        raise InvalidRequest(
            f"record {record.id} was made by an older design of advice (version {then['version']}) and "
            f"cannot be replayed: 'supernova advice show' has its text as it was given; 'verify' checks it"
        )
    rules = AdviceRules.model_validate(then["rules"])
    request = then["request"]
    assessment = read_request(request["symbol"], request).assess(_history(json.loads(bars), then), rules)
    rationale = compose(assessment, then["written"])
    now = {
        "assessment": _to_json(asdict(assessment)),
        "risk_notes": list(risk_notes(assessment)),
        "text": rationale.text,
        "sentences": _to_json([asdict(each) for each in rationale.sentences]),
    }
    return Replay(record.id, tuple(_differences("", {name: then[name] for name in now}, now)))


def _history(rows: list[list[Any]], then: Mapping[str, Any]) -> History:
    bars = [Bar(datetime.fromisoformat(time), *values) for time, *values in rows]
    later = bars[-1].time + (bars[-1].time - bars[0].time)  # every kept bar was over
    history = read_bars(bars, now=later, repair=None)  # a record has mended bars
    unfinished, read_at = (
        then[name] and datetime.fromisoformat(then[name]) for name in ("unfinished", "read_at")
    )
    return replace(history, unfinished=unfinished, read_at=read_at)


def _to_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda each: each.isoformat()))


def _differences(path: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in [*then, *(name for name in now if name not in then)]:
            yield from _differences(f"{path}.{name}".lstrip("."), then.get(name), now.get(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (old, new) in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{path}[{number}]", old, new)
    elif then != now:
        yield f"{path}: {_shorten(then)} then, {_shorten(now)} now"


def _shorten(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else f"{value!r:.80}"
