"""Conversations: the history of a session is stored encrypted and sent with its next request."""

from supernova_ai.sessions.conversations import Conversations, PreparedRequest
from supernova_ai.sessions.history import SessionKey, erase, forget

__all__ = ["Conversations", "PreparedRequest", "SessionKey", "erase", "forget"]
