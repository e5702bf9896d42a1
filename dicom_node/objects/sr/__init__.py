"""The measurement report: Comprehensive 3D SR or Comprehensive SR (TID 1500)."""
