"""Conversations: what was said before goes along with the next question, kept sealed in the store."""

from supernova_ai.sessions.session import Conversations, Turn
from supernova_ai.sessions.turns import SessionKey, erase, forget

__all__ = ["Conversations", "SessionKey", "Turn", "erase", "forget"]
