"""Money: holds that end exactly once, budgets that cannot be overspent, and what was spent."""

from supernova_ai.ledger.batch import Batch, Needs, batch_in
from supernova_ai.ledger.budgets import Payer
from supernova_ai.ledger.holds import End, Entry, Hold, lost_end
from supernova_ai.ledger.ledger import Ledger, pending_ends, swept_ledger

__all__ = [
    "Batch",
    "End",
    "Entry",
    "Hold",
    "Ledger",
    "Needs",
    "Payer",
    "batch_in",
    "lost_end",
    "pending_ends",
    "swept_ledger",
]
