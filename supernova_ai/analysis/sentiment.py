"""The sentiment that an analysis states as a number, and the rating of a whole reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from supernova_ai.analysis import quality
from supernova_ai.types import Reply

_SCORE = re.compile(r"^[ \t*_#>`-]*score\b[\s*_`]*[:=](?:[^\S\n]|[*_`])*(.*)$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(
    r"([+\-\u2212\u2013]?)((?>\d*[.,]?\d+))"  # as a whole: a part of its digits is no number
    # Not followed by what makes it a range, another number, or one on another scale: 1 out of 10.
    r"(?![\d.,]*\s*(?:[%/\u2026]|\(?(?:out )?of\b|to\b|[-\u2212\u2013~]\s*[+\-\u2212]?\.?\d)|[.,]?\d)"
)


def rate_reply(reply: Reply, sections: Sequence[str], *, sentiment: bool) -> Reply:
    """Return the reply with its quality score, and with its sentiment if that was asked for."""
    score = quality.rate_quality(reply.content, sections=sections, finish_reason=reply.finish_reason).score
    if not sentiment:
        return replace(reply, quality_score=score)
    if reply.refusal and not reply.content:
        return replace(reply, quality_score=score, no_sentiment=f"the model refused: {reply.refusal}")
    found = read_sentiment(reply.content)
    if isinstance(found, str):
        return replace(reply, quality_score=score, no_sentiment=found)
    return replace(reply, quality_score=score, sentiment=found)


def read_sentiment(text: str) -> float | str:
    """Return the number after "Score:", from -1 to 1, or the reason why there is none.

    Only the first ``quality.MOST_CHARACTERS`` characters are searched.

    >>> read_sentiment("Score: -0.40\\nWhy: profit fell.")
    -0.4
    >>> read_sentiment("It is rather good.")
    'the answer has no line that begins with "Score:"'
    """
    line = _SCORE.search(text[: quality.MOST_CHARACTERS])
    if line is None:
        return 'the answer has no line that begins with "Score:"'
    number = _NUMBER.match(line[1].strip())
    if number is None:
        return f'the text after "Score:" is no number from -1 to 1: {line[1].strip()!r:.60}'
    value = float(number[2].replace(",", ".")) * (-1 if number[1] in "-\u2212\u2013" and number[1] else 1)
    if not -1 <= value <= 1:
        return f"the score is {value:g}, but must be from -1 to 1"
    return value + 0.0  # not minus zero
