"""Read what a text tells the client to do, and whether that is the action of the advice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supernova_ai.advisor.grounding.clauses import sentences
from supernova_ai.advisor.grounding.report import Claim

_POSITION = (
    r"(?= (?:the |this |your |its )?(?:stock|asset|shares?|position|trade|exposure|holdings?)\b(?! siz)"
    r"| it\b|(?-i: [A-Z]{2,}\b)|[.,;!*]|$)"
)
_FAMILIES = {
    "buy": r"buy(?:ing)?|accumulat(?:e|ing)|add(?:ing)? to|go(?:ing)? long|purchas(?:e|ing)",
    "sell": r"sell(?:ing)?|exit(?:ing)?|short(?:ing)?|go(?:ing)? short|dump(?:ing)?|liquidat(?:e|ing)|"
    r"tak(?:e|ing) profits?|stay(?:ing)? (?:away|out)|"
    rf"(?:reduc(?:e|ing)|trim(?:ming)?|avoid(?:ing)?){_POSITION}",
    "hold": r"hold(?:ing)?|keep holding|do(?:ing)? nothing|stay(?:ing)? invested",
}
_FAMILY_OF = {"buy": "buy", "sell": "sell", "reduce": "sell", "avoid": "sell", "hold": "hold"}
_VERB = "|".join(f"(?P<{name}>{words})" for name, words in _FAMILIES.items())
_NOT_ADVICE = r"(?![-’'])(?!\s+(?:signals?|pressure|off|opportunity|wave|above|below|up|true|in mind))"
_TOLD = re.compile(
    r"(?:(?:^|[:–—]\s*|\bso,? |\btherefore,? |\bthus,? )(?:please )?(?:(?:do not|don['’]t|never) )?"
    r"|\b(?:recommend|suggest|advise|advis\w+|favou?r|propos\w+|prefer|urge)\w*:?\s+(?:\w+\s+){0,2}?"
    r"|\b(?:recommendation|action|verdict|rating|call|conclusion|stance|advice|view|suggestion)\s*"
    r"(?:here |now |today )?(?:is|remains|of|:|=|–|—)\s*(?:clearly |still |now )?(?:an? |to )?"
    r"(?:strong |clear )?"
    r"|\b(?:should|must|ought to|better to|time to|wise to|best to|prudent to|want to|consider|need to)\s+"
    r"(?:now |simply |be |therefore |not |only )*"
    r"|\b(?:is|are|as|rated|remains|it's|makes? (?:it|this)) (?:now |still |clearly )?an? "
    r"(?:strong |clear |outright )?"
    r"|(?P<shout>\b)(?=[A-Z]{3,}\b))"
    rf"[\"'“*_]*(?:{_VERB})\b" + _NOT_ADVICE,
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:not|never|no|against|rather than|instead of|without|nor|neither|avoid|than|too (?:early|late))\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(
    r"\b(?:if|unless|once|until|would|could|might|whether|when|before|were)\b", re.IGNORECASE
)


def action_claims(text: str, action: str) -> Iterator[Claim]:
    """Yield a claim for each place that tells the client to act, or not to do what the advice is.

    A condition is none, and neither is a warning against another act.
    """
    given = _FAMILY_OF[action]
    for span in sentences(text):
        part = text[span.start : span.end]
        for match in _TOLD.finditer(part):
            told = next(name for name in _FAMILIES if match[name])
            words, verb = match[told], match.start(told)
            negated = _NEGATED.search(part, max(0, verb - 40), verb) is not None
            shouts = match["shout"] is None or words.isupper()
            if not shouts or _CONDITIONAL.search(part, 0, verb) or (negated and told != given):
                continue
            start, end = span.start + verb, span.start + match.end(told)
            if told == given and not negated:
                yield Claim(words, start, end, "action", "grounded", "the action of the advice")
            else:
                said = f"not {words.lower()}" if negated else words.lower()
                wrong = f"{said} contradicts the action, which is {action}"
                yield Claim(words, start, end, "action", "contradicted", wrong)
