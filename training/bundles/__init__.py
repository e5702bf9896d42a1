"""Bundles that training begins with and writes."""
