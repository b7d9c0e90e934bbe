"""Prompt templates, the library that finds them, and their check."""

from supernova_ai.prompts.check import faults
from supernova_ai.prompts.export import as_file
from supernova_ai.prompts.library import Library
from supernova_ai.prompts.template import Contract, Template, Variable

__all__ = ["Contract", "Library", "Template", "Variable", "as_file", "faults"]
