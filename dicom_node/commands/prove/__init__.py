"""The commands that prove what happened: the audit file and receipts."""
