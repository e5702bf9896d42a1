"""HTTP services of the node, each in a child process that lives and ends with the node."""
