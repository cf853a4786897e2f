"""Penstock turns LLM calls into an operable process."""

__version__ = "0.1.0"
