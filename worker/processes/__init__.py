"""The processes of a worker: watched, bounded, replaced, and ended in order."""
