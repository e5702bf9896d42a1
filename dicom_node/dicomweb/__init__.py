"""The node's own DICOMweb service (PS3.18)."""
