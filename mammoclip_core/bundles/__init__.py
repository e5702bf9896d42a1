"""Bundles: the folders of weights that a node deploys."""
