"""Alerts: an outbox in the database, and the delivery of what is in it."""
