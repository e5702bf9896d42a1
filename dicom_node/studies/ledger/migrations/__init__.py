"""Migrations of the ledger, oldest first."""
