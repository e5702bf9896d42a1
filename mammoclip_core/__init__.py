"""Mammo-CLIP: pixels in, findings out. Importing this package loads nothing heavy."""
