"""Delivery: sends result objects to archives and returns an outcome for each."""
