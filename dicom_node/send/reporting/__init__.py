"""Results to reporting systems: messages made of the measurement report."""
