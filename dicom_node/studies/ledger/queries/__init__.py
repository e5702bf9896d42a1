"""What people and processes ask the ledger, which changes nothing."""
