"""Who did what to which study: a chained file, and the same as audit messages of the standard."""
