"""Replay of advice: the part of a record that can be computed again, and the comparison with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from supernova_ai import __version__
from supernova_ai.advisor import records
from supernova_ai.advisor.bars import Bar, History, read_bars
from supernova_ai.advisor.ensemble import Assessment, assess
from supernova_ai.advisor.explain import risk_notes
from supernova_ai.advisor.greeks import with_greeks
from supernova_ai.advisor.grounding import GroundingReport
from supernova_ai.advisor.rationale import Rationale, check_text, deterministic_rationale
from supernova_ai.config.advice import AdviceRules
from supernova_ai.errors import InvalidRequest
from supernova_ai.store.tables import AdviceRow


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
    assessment: Assessment,
    rationale: Rationale,
    *,
    sentiment_hint: float,
    greeks: Mapping[str, float],
    rules: AdviceRules,
    sections: Sequence[str],
) -> dict[str, Any]:
    """Return the part of a record that can be computed again, with its inputs except the bars, as JSON."""
    return {
        "version": __version__,
        "as_of": history.bars[-1].time.isoformat(),
        "unfinished": history.unfinished and history.unfinished.isoformat(),
        "sentiment_hint": sentiment_hint,
        "greeks": {name: float(value) for name, value in greeks.items()},  # they may be numpy's
        "rules": rules.model_dump(mode="json"),
        "sections": list(sections),
        "assessment": _to_json(asdict(assessment)),
        "risk_notes": list(risk_notes(assessment)),
        "source": rationale.source,
        "text": rationale.text,
        "written": rationale.written,
        "grounding": _claims(rationale.report),
    }


def replay(record: AdviceRow) -> Replay:
    """Compute the record's assessment, texts and claims again from the bars it kept.

    Raises:
        InvalidRequest: the record kept no bars, or they were altered.
    """
    bars = records.kept_input(record, "bars")
    if bars is None:
        raise InvalidRequest(
            f"record {record.id} kept no bars and cannot be replayed: set 'advice.keep_bars: true' to keep "
            f"those of future records"
        )
    then = json.loads(record.content)["computed"]
    rules = AdviceRules.model_validate(then["rules"])
    old = then["assessment"]
    assessment = assess(
        _history(json.loads(bars), then["unfinished"]),
        symbol=old["symbol"],
        asset_class=old["asset_class"],
        risk_score=old["risk_score"],
        sentiment_hint=then["sentiment_hint"],
        currency=old["currency"],
        rules=rules,
    )
    assessment = with_greeks(assessment, then["greeks"])
    if then["source"] == "deterministic":
        rationale = deterministic_rationale(assessment, rules, "")
        text, report = rationale.text, rationale.report
    else:
        draft = check_text(then["written"], assessment, rules, then["sections"])
        text, report = draft.text, draft.report
    now = {
        "assessment": _to_json(asdict(assessment)),
        "risk_notes": list(risk_notes(assessment)),
        "text": text,
        "grounding": _claims(report),
    }
    return Replay(record.id, tuple(_differences("", {name: then[name] for name in now}, now)))


def _history(rows: list[list[Any]], unfinished: str | None) -> History:
    bars = [Bar(datetime.fromisoformat(time), *values) for time, *values in rows]
    later = bars[-1].time + (bars[-1].time - bars[0].time)  # every kept bar was over
    history = read_bars(bars, now=later)
    return replace(history, unfinished=datetime.fromisoformat(unfinished)) if unfinished else history


def _claims(report: GroundingReport) -> list[dict[str, Any]]:
    return [asdict(claim) for claim in report.claims]


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
