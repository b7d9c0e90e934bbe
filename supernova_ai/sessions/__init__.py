"""Conversations: what was said before goes along with the next question, kept sealed in the store."""

from supernova_ai.sessions.session import Sessions, Turn
from supernova_ai.sessions.turns import Whose, erase, forget

__all__ = ["Sessions", "Turn", "Whose", "erase", "forget"]
