"""Work that is due: chosen, claimed, paused, and its outcomes."""
