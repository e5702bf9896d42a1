"""Losses and learning rates that several kinds of training share."""
