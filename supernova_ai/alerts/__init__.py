"""Alerts: spikes, an outbox in the database, and the delivery of the alerts in it."""
