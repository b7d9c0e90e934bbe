"""Upkeep of the database: archive, verify, copy, reconcile, and the data of one user."""
