"""The engine over LiteLLM. Importing it imports LiteLLM, which takes seconds: do so on first use."""

from supernova_ai.engine.engine import Engine

__all__ = ["Engine"]
