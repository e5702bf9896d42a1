"""What is taken from the broker: our own two messages, and nothing else."""
