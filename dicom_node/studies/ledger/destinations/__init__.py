"""Destinations in the ledger: which are down, what waits for them, and how each stands."""
