"""Proof of delivery: asks the destinations whether they hold what they have accepted."""
