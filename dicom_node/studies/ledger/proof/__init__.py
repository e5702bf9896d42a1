"""Proof of delivery in the ledger: what archives are asked, and what senders were promised."""
