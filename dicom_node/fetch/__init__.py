"""Studies that the node fetches from archives: lists, queries, retrieval."""
