"""The command mammoclip-predict."""
