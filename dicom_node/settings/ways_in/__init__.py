"""Sections on what comes into the node."""
