"""Thousands of studies by one command: found, shared among processes, kept as they are done."""
