"""Upkeep of a database: archive, verify, copy, reconcile, and the data of one user."""
