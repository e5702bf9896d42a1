"""Delivery: result objects to archives, with an outcome for each."""
