"""Results of readers: assessments of the node's results, and what turned out to be true."""
