"""The command mammoclip-node."""
