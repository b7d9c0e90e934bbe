"""Encrypted backups of a store with its configuration and master key."""
