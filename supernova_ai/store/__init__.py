"""The database: tables, migrations, and one writer thread with group commit."""

from supernova_ai.store.database import (
    Clock,
    Store,
    get_meta,
    log_user_key,
    set_meta,
    set_meta_default,
)
from supernova_ai.store.read_only import ReadOnlyStore

__all__ = [
    "Clock",
    "ReadOnlyStore",
    "Store",
    "get_meta",
    "log_user_key",
    "set_meta",
    "set_meta_default",
]
