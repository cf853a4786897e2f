"""Nouns: frozen values that every other room may use. Imports only itself."""
