"""What a record of advice holds, and whether the same comes of it when it is computed again."""

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
from supernova_ai.advisor.rationale import Rationale, deterministic, examine
from supernova_ai.config.advice import AdviceRules
from supernova_ai.errors import InvalidRequest
from supernova_ai.store.tables import AdviceRow


@dataclass(frozen=True, slots=True)
class Replay:
    """What computing a record again found: each difference as "what: then, now"; none where all agrees."""

    record: str
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether everything that no model wrote is the same again, to the last digit."""
        return not self.differences


def bars_text(history: History) -> str:
    """Return the bars as the JSON that a record keeps and hashes."""
    return records.canonical(
        [[bar.time.isoformat(), bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in history.bars]
    )


def computed(
    history: History,
    found: Assessment,
    said: Rationale,
    *,
    sentiment_hint: float,
    greeks: Mapping[str, float],
    rules: AdviceRules,
    sections: Sequence[str],
) -> dict[str, Any]:
    """Return the part of a record that can be computed again, and what it was computed from, as JSON."""
    return {
        "version": __version__,
        "as_of": history.bars[-1].time.isoformat(),
        "unfinished": history.unfinished and history.unfinished.isoformat(),
        "sentiment_hint": sentiment_hint,
        "greeks": {name: float(value) for name, value in greeks.items()},  # numpy has numbers of its own
        "rules": rules.model_dump(mode="json"),
        "sections": list(sections),
        "assessment": _plain(asdict(found)),
        "risk_notes": list(risk_notes(found)),
        "source": said.source,
        "text": said.text,
        "written": said.written,
        "grounding": _claims(said.report),
    }


def replay(record: AdviceRow) -> Replay:
    """Compute the record's action, figures, words and checks again from the bars it kept.

    Raises:
        InvalidRequest: it kept no bars, or they were altered.
    """
    text = records.bars_of(record)
    if text is None:
        raise InvalidRequest(
            f"record {record.id} kept no bars and cannot be replayed: set 'advice.keep_bars: true' for those "
            f"to come"
        )
    then = json.loads(record.content)["computed"]
    rules = AdviceRules.model_validate(then["rules"])
    before = then["assessment"]
    history = _history(json.loads(text), then["unfinished"])
    found = assess(
        history,
        symbol=before["symbol"],
        asset_class=before["asset_class"],
        risk_score=before["risk_score"],
        sentiment_hint=then["sentiment_hint"],
        currency=before["currency"],
        rules=rules,
    )
    found = with_greeks(found, then["greeks"])
    now = {"assessment": _plain(asdict(found)), "risk_notes": list(risk_notes(found))}
    if then["source"] == "deterministic":
        said = deterministic(found, rules, "")
        now |= {"text": said.text, "grounding": _claims(said.report)}
    else:
        draft = examine(then["written"], found, rules, then["sections"])
        now |= {"text": draft.text, "grounding": _claims(draft.report)}
    return Replay(record.id, tuple(_differences("", {name: then[name] for name in now}, now)))


def _history(rows: list[list[Any]], unfinished: str | None) -> History:
    bars = [Bar(datetime.fromisoformat(time), *values) for time, *values in rows]
    later = bars[-1].time + (bars[-1].time - bars[0].time)  # all of them were over when they were kept
    history = read_bars(bars, now=later)
    return replace(history, unfinished=datetime.fromisoformat(unfinished)) if unfinished else history


def _claims(report: GroundingReport) -> list[dict[str, Any]]:
    return [asdict(claim) for claim in report.claims]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda each: each.isoformat()))


def _differences(at: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in [*then, *(name for name in now if name not in then)]:
            yield from _differences(f"{at}.{name}".lstrip("."), then.get(name), now.get(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from _differences(f"{at}[{number}]", one, other)
    elif then != now:
        yield f"{at}: {_short(then)} then, {_short(now)} now"


def _short(value: Any) -> str:
    return f"{len(value)} entries" if isinstance(value, list) else f"{value!r:.80}"
