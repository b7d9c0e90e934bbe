from tests.ledger.conftest import clock, make_entry, open_ledger, take, windows

__all__ = ["clock", "make_entry", "open_ledger", "take", "windows"]
