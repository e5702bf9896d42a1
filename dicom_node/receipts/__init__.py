"""Receipts: what came of a study, what was made of it by what, and what went where and when."""
