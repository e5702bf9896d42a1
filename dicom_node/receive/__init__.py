"""Reception: from a C-STORE request to a row of the ledger."""
