"""The settings of a node and its workers."""
