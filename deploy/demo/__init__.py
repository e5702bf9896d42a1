"""The demonstration: a study through the whole system on this machine, and its results."""
