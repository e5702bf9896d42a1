"""What the node knows of its studies, and when work on them is due."""
