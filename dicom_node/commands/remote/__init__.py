"""The commands that talk to a node elsewhere, by its REST API."""
