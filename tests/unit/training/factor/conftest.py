"""Phantoms in the published tables, and a small bundle."""

from phantom_bundle import phantom_tables, small_bundle

__all__ = ["phantom_tables", "small_bundle"]
