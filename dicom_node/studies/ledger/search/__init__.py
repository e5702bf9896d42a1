"""Finds studies among millions, page by page, in a time that does not grow with the ledger."""
