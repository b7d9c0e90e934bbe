"""What a text tells the client to do is read however it is worded, and must be the action of the advice."""

from __future__ import annotations

import pytest

from supernova_ai.advisor.grounding.stance import action_claims

AGREE = {
    "buy": """
The decision is to buy AAPL, not to sell it.
The decision is a buy.
The recommendation is a buy, not a hold.
The rules say buy.
This does not mean the client must sell other holdings.
There is no sell signal.
There is no reason to sell.
Do not sell.
A cautious client would hold less.
Do not hold more than you can bear to lose.
Holding cash is an alternative, but the rules say buy.
It is wise to hold some cash.
You should hold a diversified portfolio.
Hold on: the RSI is high.
Avoid leverage.
Reduce risk by building in steps.
If it breaks, consider selling.
Consider selling if it breaks.
Should the price fall, sell.
Exit only if the trend breaks.
Selling may be right for others.
Holding a full position means that losses count fully.
The close is short of its high.
Buy or sell?
""",
    "sell": """
Sell the whole position; do not buy.
Do not hold AAPL.
Holding none of it is the decision.
It would be wrong to hold on.
AAPL should be sold.
Hold off buying.
""",
    "hold": """
Neither buying nor selling is called for.
Do not buy and do not sell.
The signals are too weak to buy.
Keep what is held; add on a stronger signal.
Stay on the sidelines.
""",
    "avoid": """
Stay out, or risk only what may be lost.
Do not buy AAPL.
AAPL should be avoided.
""",
    "reduce": """
Cut the position well back.
Hold less of AAPL.
Hold the rest.
The position should be reduced.
""",
}

OPPOSE = {
    "buy": """
The decision is to sell AAPL, and the case is clear.
The decision was sell.
The decision to sell AAPL is clear.
We decided to sell.
We would sell.
We would not buy.
The rules say sell.
Our rules tell you to sell.
I say sell.
We sell AAPL.
The best course is to sell.
It makes sense to sell.
However, sell AAPL.
In short, sell AAPL.
Now sell.
The client should not hold AAPL.
Do not enter.
Keep out of AAPL.
The signals point to selling.
AAPL should be sold.
It should be avoided.
The advice is not to buy.
We advise against buying AAPL.
There is no reason to buy.
It is too early to buy.
This is not a buy.
Not a buy.
AAPL is no buy.
Neither buy nor sell.
Buying is not advised.
Buying AAPL now would be a mistake.
Buying is unwise.
Hold off buying.
Wait before buying.
It is best to stay on the sidelines.
Get out of AAPL now.
Cut the position.
Action - SELL.
**Sell**
There is no doubt: sell AAPL.
No doubt about it: sell AAPL.
No question, you should sell AAPL.
The price is not cheap, so sell.
When volatility rises like this, you should sell.
Before anything else: sell AAPL.
""",
    "sell": """
The decision is to buy AAPL.
The decision to hold AAPL is clear.
We would not sell.
AAPL should be bought.
Enter now.
Keep the stock.
Maintain the position.
Selling would be a mistake.
Sell short.
""",
    "hold": """
The decision to sell AAPL is clear.
Increase exposure.
Trim.
Do not hold.
We would buy.
""",
    "avoid": """
Go short AAPL.
We recommend shorting AAPL.
AAPL should be shorted.
Liquidate everything.
Open a position.
""",
    "reduce": """
Keep the full position.
Add to the position.
We would hold.
""",
}


def sayings(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(action, text) for action, texts in table.items() for text in texts.strip().splitlines()]


@pytest.mark.parametrize(("action", "text"), sayings(AGREE))
def test_what_agrees_with_the_action_holds(action: str, text: str) -> None:
    """Warnings against other acts, conditions, questions and talk of other things are no other advice."""
    assert [claim for claim in action_claims(text, action) if claim.verdict != "grounded"] == []


@pytest.mark.parametrize(("action", "text"), sayings(OPPOSE))
def test_what_opposes_the_action_is_a_contradiction(action: str, text: str) -> None:
    """A doubt, a condition or a denial of something else does not excuse it, and shorting suits no action."""
    assert "contradicted" in [claim.verdict for claim in action_claims(text, action)]
