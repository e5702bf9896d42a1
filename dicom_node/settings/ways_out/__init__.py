"""Sections on results, and on who gets them."""
