"""Procedure steps of others that the ledger knows of: workitems, and what announces images."""
