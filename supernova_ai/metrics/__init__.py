"""Metrics for Prometheus, read from the database, and whether a server lives and is ready."""
