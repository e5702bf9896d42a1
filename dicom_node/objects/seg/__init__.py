"""Segmentations of regions and of attention maps (PS3.3 A.51)."""
