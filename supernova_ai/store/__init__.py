"""The database: tables, migrations, and one writer with group commit."""

from supernova_ai.store.database import Store, too_open

__all__ = ["Store", "too_open"]
