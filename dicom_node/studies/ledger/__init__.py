"""The ledger: the truth about every instance, study, analysis and delivery."""
