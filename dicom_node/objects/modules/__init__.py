"""Modules of the information object definitions that several kinds of object share."""
