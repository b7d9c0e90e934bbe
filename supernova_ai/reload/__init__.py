"""Versions of the configuration, and applying an edited one to a running process."""
