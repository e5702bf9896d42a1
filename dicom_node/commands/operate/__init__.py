"""Commands that change what the node does: retry, cancel, pause, keep, erase."""
