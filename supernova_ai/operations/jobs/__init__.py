"""Scheduled jobs: which there are, when they are due, who runs them, and how each run is recorded."""
