"""Prompt templates, and the library that finds them."""

from supernova_ai.prompts.check import faults
from supernova_ai.prompts.library import Library
from supernova_ai.prompts.template import Contract, Template, Variable
from supernova_ai.prompts.written import as_file

__all__ = ["Contract", "Library", "Template", "Variable", "as_file", "faults"]
