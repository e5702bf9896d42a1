"""What the ledger keeps to watch the model by, and to prove who did what."""
