"""Prompt templates, and the library that finds them."""

from supernova_ai.prompts.library import Template, get, names

__all__ = ["Template", "get", "names"]
