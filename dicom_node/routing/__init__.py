"""Which rule takes a study, and what it decides: pure functions, without network or ledger."""
