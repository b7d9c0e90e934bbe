from tests.execution.conftest import _books_add_up, _warm, attempts, balance, window

__all__ = ["_books_add_up", "_warm", "attempts", "balance", "window"]
