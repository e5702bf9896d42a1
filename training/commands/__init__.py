"""The command mammoclip-train."""
