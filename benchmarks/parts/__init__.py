"""What the benchmarks share: sites, child processes to compare, and the table."""
