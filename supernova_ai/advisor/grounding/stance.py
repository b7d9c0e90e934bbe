"""Read what a text tells the client to do, and whether that is the action of the advice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from supernova_ai.advisor.grounding.clauses import sentences
from supernova_ai.advisor.grounding.report import Claim

_POSITION = (
    r"(?= (?:the |this |your |its )?(?:full |whole |entire )?"
    r"(?:stock|asset|shares?|position|trade|exposure|holdings?)\b(?! siz)"
    r"| it\b|(?-i: [A-Z]+\b)|[.,;!*]|$)"
)
_OF_IT = re.compile(_POSITION, re.IGNORECASE)
_FAMILIES = {
    "buy": r"buy(?:ing)?|accumulat(?:e|ing)|add(?:ing)? to|go(?:ing)? long|purchas(?:e|ing)|"
    r"enter(?:ing)?(?= (?:now|a|it)\b|[.,;!]|$)|"
    rf"open(?:ing)? a (?:\w+ )?position|increas(?:e|ing){_POSITION}",
    "short": r"(?:sell(?:ing)?|go(?:ing)?) short|short(?:ing)?|"
    r"(?:sell|dump|liquidat)(?:e|ing)? (?:everything|all)",
    "sell": r"sell(?:ing)?|exit(?:ing)?|dump(?:ing)?|liquidat(?:e|ing)|unload(?:ing)?|tak(?:e|ing) profits?|"
    r"(?:stay|keep)(?:ing)? (?:away|out)|steer(?:ing)? clear|"
    r"(?:get(?:ting)?|cash(?:ing)?) out|lighten(?:ing)? up|"
    r"underweight|hold(?:ing)? (?:less|none)|"
    rf"(?:reduc(?:e|ing)|trim(?:ming)?|avoid(?:ing)?|cut(?:ting)?|clos(?:e|ing)){_POSITION}",
    "wait": r"wait(?:ing)?|hold(?:ing)? off|stay(?:ing)? on the sidelines?",
    "hold": r"hold(?:ing(?! an? (?:\w+ )?position))?|keep holding|do(?:ing)? nothing|stay(?:ing)? invested|"
    rf"(?:keep(?:ing)?|maintain(?:ing)?|retain(?:ing)?){_POSITION}",
}
_DONE = {
    "buy": "bought|accumulated|added to",
    "short": "shorted",
    "sell": "sold|avoided|reduced|trimmed|cut|exited|liquidated",
    "wait": "left alone",
    "hold": "held|kept",
}
_SUITS = {
    "buy": ("buy",),
    "hold": ("hold", "wait"),
    "reduce": ("sell", "wait"),
    "sell": ("sell", "wait"),
    "avoid": ("sell", "wait"),
}
"""What each action may be told as; shorting is none of them."""


def _one_of(families: dict[str, str]) -> str:
    return "|".join(f"(?P<{name}>{words})" for name, words in families.items())


_A = r"(?:an? )?(?:strong |clear |outright )?"
_NOT_ADVICE = (
    r"(?![-’'])(?!\s+(?:signals?|pressure|opportunity|wave|above|below|on|up|true|in mind|interest|periods?|"
    r"(?:some |more |enough )?cash|an? (?:diversified|stop)|other|the rest)\b)"
)
_TOLD = re.compile(
    r"(?:(?:^|[:–—]\s*|\bso,? |\btherefore,? |\bthus,? )"
    r"(?:(?:now|just|simply|then|but|still|however|in short|in this case|please),? )*"
    rf"(?:(?:do not|don['’]t|never|neither|not) )?{_A}"
    r"|\b(?:recommend|suggest|advise|advis\w+|favou?r|propos\w+|prefer|urge)\w*:?\s+(?:\w+\s+){0,2}?"
    r"|\b(?:recommendation|action|verdict|rating|call|conclusion|stance|advice|view|suggestion|decision|"
    r"course|plan|choice|move)\s*"
    r"(?:here |now |today )?(?:is|was|remains|of|to|:|=|-|–|—)\s*(?:clearly |still |now )?(?:not )?(?:to )?"
    rf"{_A}"
    r"|\b(?:should|must|ought to|better(?: to)?|time to|wise to|best to|prudent to|want to|consider|need to|"
    r"decided to|no (?:reason|need|case) (?:to|for)|too \w+ to|makes? sense to|"
    r"(?:we|I)(?: would|['’]d| do)?)\s+"
    r"(?:now |simply |be |therefore |not |only |rather )*"
    r"|\b(?:rules?|signals?|facts?|indicators?|numbers?|we|I) "
    rf"(?:says?|points? to|calls? for|tells? (?:you|us|the client))\s+(?:to )?{_A}"
    r"|\brat(?:e|es|ed) \S+ (?:as )?(?:an? )?"
    r"|\b(?:is|are|as|rated|remains|it's|makes? (?:it|this)) "
    rf"(?:now |still |clearly |not |no longer )?(?:an? |no ){_A}"
    r"|(?P<shout>\b)(?=[A-Z]{3,}\b))"
    rf"[\"'“*_]*(?:{_one_of(_FAMILIES)})\b" + _NOT_ADVICE,
    re.IGNORECASE,
)
_TOLD_OF_IT = re.compile(
    r"\b(?:should|must|ought to|is to|are to|best) (?:now )?(?:not )?be "
    rf"(?:{_one_of(_DONE)})\b",
    re.IGNORECASE,
)
"""The same of the asset: it should be sold."""

_NEGATED = re.compile(
    r"(?:\b(?:not|never|no|no longer|against|rather than|instead of|without|nor|neither|avoid|than|"
    r"too \w+)|n['’]t)\s+(?:(?:to|be|for|an?|the|now|yet|strong|clear|outright|recommend\w*|advis\w+|"
    r"suggest\w*|consider\w*|want|wise|prudent|time|need|reason|case|only|or|buy|sell|hold)\s+)*[\"'“*_]*$",
    re.IGNORECASE,
)
_IT = r"(?:\s+(?:now|here|today|it|the \w+|(?-i:[A-Z]+\b)))*\s+"
_NEGATED_AFTER = re.compile(
    _IT + r"(?:is|are|was|would be|seems|looks)"
    r"(?:n['’]t|\s+(?:not|never|no|unwise|wrong|premature|rash|an? (?:\w+ )?(?:mistake|error)))\b",
    re.IGNORECASE,
)
"""Of a gerund: "buying now would be a mistake"."""

_PERHAPS_AFTER = re.compile(_IT + r"(?:may|might|could|can)\b", re.IGNORECASE)
_CONDITIONAL = re.compile(
    r"\b(?:if|unless|once|until|(?<!\bwe )(?<!\bI )would(?! be (?:wise|best|better|prudent))|"
    r"could|might|whether|were)\b|^should\b",
    re.IGNORECASE,
)
_CONDITION_AFTER = re.compile(r"[^,;:]*\b(?:if|once) (?:the|it|its|this)\b", re.IGNORECASE)


def action_claims(text: str, action: str, symbol: str | None = None) -> Iterator[Claim]:
    """Yield a claim for each place that tells the client to act, or not to do what the advice is.

    A condition is none, a question neither, nor a warning against another act.
    """
    if symbol:  # it may be 7203.T, or SELL
        text = re.sub(rf"(?<!\w){re.escape(symbol)}(?!\w)", lambda match: "X" * len(match[0]), text)
    for span in sentences(text):
        part = text[span.start : span.end]
        for match in (*_TOLD.finditer(part), *_TOLD_OF_IT.finditer(part)):
            told = next(name for name in _FAMILIES if match[name])
            words, verb, end = match[told], match.start(told), match.end(told)
            negated = _is_negated(part, words, verb, end)
            if told == "hold" and negated and _OF_IT.match(part, end):
                told, negated = "sell", False  # who should not hold it should be out of it
            suits = told in _SUITS[action]
            whispers = match.groupdict().get("shout") is not None and not words.isupper()
            if whispers or part.endswith("?") or (negated and not suits):
                continue
            perhaps = words.lower().endswith("ing") and _PERHAPS_AFTER.match(part, end)
            if perhaps or _CONDITIONAL.search(part, 0, verb) or _CONDITION_AFTER.match(part, end):
                continue
            start, end = span.start + verb, span.start + end
            if suits and not negated:
                yield Claim(words, start, end, "action", "grounded", "the action of the advice")
            else:
                said = f"not {words.lower()}" if negated else words.lower()
                wrong = f"{said} contradicts the action, which is {action}"
                yield Claim(words, start, end, "action", "contradicted", wrong)


def _is_negated(part: str, words: str, start: int, end: int) -> bool:
    if _NEGATED.search(part, max(0, start - 60), start):
        return True
    return words.lower().endswith("ing") and _NEGATED_AFTER.match(part, end) is not None
