"""Sections for those who run a node and watch it."""
