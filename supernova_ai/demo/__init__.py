"""Demonstrations with real models on this machine."""
