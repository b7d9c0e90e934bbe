"""SuperNova AI: the LLM layer of a financial advisor."""
