"""The database: tables, migrations, and one writer thread with group commit."""

from supernova_ai.store.database import Clock, Store, get_meta, permission_warning, set_meta, set_meta_default

__all__ = ["Clock", "Store", "get_meta", "permission_warning", "set_meta", "set_meta_default"]
