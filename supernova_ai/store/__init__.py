"""The database: tables, migrations, and one writer with group commit."""

from supernova_ai.store.database import Store

__all__ = ["Store"]
