"""``mammoclip-node check``: whether the node can work, and does."""
